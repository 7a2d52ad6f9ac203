import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster, internet, internetPolicy } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const fast = egressEntry({ exits: [{ ...partners, fastPath: true }] });

/** An exit beside {@link partners}, by the same interface, for pods of the namespace `others`. */
const others = { ...partners, name: 'others', addresses: ['192.168.0.246', 'fd00:168::246'] } as const;
/** Where {@link partners} may go. */
const front = { interface: 'eth0', nextHop: world.front.gateway, addresses: ['172.18.0.33', 'fd00:172::33'] } as const;

/** Each namespace has an exit or none, all pods of it. */
const entryOf = (exits: readonly object[], more: object = {}) =>
  egressEntry({
    exits,
    policies: [
      { name: 'partners', namespaces: ['default'], destinations: world.outside, exit: 'partners' },
      { name: 'others', namespaces: ['others'], destinations: world.outside, exit: 'others' },
      { name: 'none', namespaces: ['none'], destinations: world.outside, exit: 'drop' },
    ],
    ...more,
  });

/** A node with the addresses of all of these. */
async function nodeWithAddresses(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  const both = [...others.addresses.map((of) => [of, 'eth1']), ...front.addresses.map((of) => [of, 'eth0'])];
  await node.machine.ip(
    ...both.map(([of = '', device]) => `address add ${of} dev ${device} ${of.includes(':') ? 'preferred_lft 0' : ''}`),
  );
  return node;
}

/** What CHECK says of pods, and `egress check` of the node: nothing, when all is right. */
async function faults(node: LabNode, pods: readonly Pod[]): Promise<string> {
  const checks = [await node.egress('check'), ...(await Promise.all(pods.map((pod) => node.cnitool('check', pod))))];
  return checks.map(({ code, stdout, stderr }) => (code === 0 ? '' : stdout + stderr)).join('');
}

describe('an exit with fastPath', labTest, () => {
  test('leads pods out without an agent, is right to CHECK, counts, and leaves nothing behind', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: fast });
    await node.settle();
    const before = await snapshot(node);
    const pod = await node.started();
    for (const protocol of ['tcp', 'udp'] as const)
      assert.deepEqual(await pod.askEach(protocol), partners.addresses, protocol);
    assert.equal((await node.cnitool('check', pod)).code, 0);
    const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
    assert.deepEqual(exits[0].fastPath, { isOn: false, why: 'no agent runs' });
    assert.deepEqual([exits[0].steered.packets, exits[0].dropped.packets], [exits[0].left.packets, 0]);
    assert.match((await node.egress('status')).stdout, /The fast path of exit "partners" is off: no agent runs\./);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('goes the ordinary way where a kernel has no flowtables, and says so', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: fast });
    const pod = await node.started();
    const agent = await RunningAgent.start(node);
    await agent.line('the fast path is o');
    assert.deepEqual(await pod.askEach(), partners.addresses);
    const table = await node.machine.run(['nft', 'list', 'table', 'inet', 'cni-egress-fast']);
    const [told] = agent.said().filter(({ isOn }) => isOn !== undefined);
    if (told?.isOn === true) return assert.equal(table.code, 0); // a kernel with flowtables: test/kernels has more
    assert.match(String(told?.why), /^this kernel has no flowtables/);
    assert.equal(table.code, 1);
    assert.equal((await node.egress('check')).code, 0);
    await agent.end();
  });

  test('becomes one without it, for running pods, too', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: fast });
    const pod = await node.started();
    const ruleset = () => node.machine.must(['nft', 'list', 'ruleset']);
    const ofFastPath = /chain fast |set fast4 |@fast4/;
    assert.match(await ruleset(), ofFastPath);
    await node.write({ egress: egressEntry() });
    const other = await node.started();
    assert.doesNotMatch(await ruleset(), ofFastPath);
    for (const one of [pod, other]) assert.deepEqual(await one.askEach(), partners.addresses);
    assert.equal((await node.egress('check')).code, 0);
  });

  test('leads pods through a gateway without an agent, is right to CHECK on both nodes, and nft reads its chains', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
    const [gateway, worker] = cluster.all;
    assert.ok(gateway && worker);
    await cluster.policy({ exits: [{ ...internet, gateways: [cluster.end(gateway)], fastPath: true }] });
    await worker.settle();
    const before = await snapshot(worker);
    await cluster.up();
    const pod = await worker.started();
    for (const protocol of ['tcp', 'udp'] as const)
      assert.deepEqual(await pod.askEach(protocol), internet.addresses, protocol);
    for (const node of [gateway, worker]) {
      assert.equal((await node.egress('check')).code, 0);
      const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
      const [{ fastPath, steered, dropped }] = exits;
      assert.deepEqual([fastPath, dropped.packets], [{ isOn: false, why: 'no agent runs' }, 0]);
      assert.ok(steered.packets > 0);
      for (const [family, part] of [
        ['inet', /chain fast /],
        ['netdev', node === gateway ? /goto fast-served/ : /@sent meta mark set/],
      ] as const) {
        const written = await node.machine.must(['nft', '-s', 'list', 'table', family, 'cni-egress']);
        assert.match(written, part);
        await node.machine.must(['nft', '-c', '-f', '-'], { stdin: written });
      }
    }
    await worker.end(pod);
    assertUnchanged(before, await snapshot(worker));
  });

  test('goes with its last pod, and those of an exit by the same interface are as they should be', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithAddresses(lab);
    await node.write({ egress: entryOf([{ ...partners, fastPath: true }, others]) });
    const [pod, other] = [await node.started(), await node.started('others')];
    await node.end(pod);
    assert.equal(await faults(node, [other]), '');
    assert.doesNotMatch(await node.machine.must(['nft', 'list', 'ruleset']), /fast4|crossed4|chain fast /);
  });

  test('goes to another interface, and becomes one without it, beside one that stays', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithAddresses(lab);
    await node.write({ egress: entryOf([{ ...partners, fastPath: true }, others]) });
    const pods = [await node.started(), await node.started('others')];
    for (const exit of [
      { ...partners, ...front, fastPath: true },
      { ...partners, fastPath: true },
      { ...partners, ...front },
    ]) {
      await node.write({ egress: entryOf([exit, others]) });
      pods.push(await node.started());
      assert.equal(await faults(node, pods), '');
      assert.deepEqual(await pods.at(-1)?.askEach('udp'), exit.addresses);
      assert.deepEqual(await pods[1]?.askEach('udp'), others.addresses);
    }
  });

  test('has another bit of the mark with the ADD of a pod that has no exit', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const exits = [{ ...partners, fastPath: true }, others];
    await node.write({ egress: entryOf(exits) });
    const pod = await node.started();
    await node.write({ egress: entryOf(exits, { fwmark: '0x20000000' }) });
    const other = await node.started('none');
    assert.equal(await faults(node, [pod, other]), '');
  });

  test('has another bit of the mark where it leads into the tunnel, too', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    const [gateway, worker] = cluster.all;
    assert.ok(gateway && worker);
    const exits = [{ ...internet, gateways: [cluster.end(gateway)], fastPath: true }];
    const policies = [
      internetPolicy,
      { name: 'none', namespaces: ['none'], destinations: world.outside, exit: 'drop' },
    ];
    await cluster.policy({ exits, policies });
    await cluster.up();
    const pod = await worker.started();
    await cluster.policy({ exits, policies, fwmark: '0x20000000' });
    const other = await worker.started('none');
    assert.equal(await faults(worker, [pod, other]), '');
    assert.deepEqual(await pod.askEach('udp'), internet.addresses);
  });

  test('moves from gateway to gateway, and back, with pods of both', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 4] });
    const gateways = cluster.all.map((node) => cluster.end(node));
    await cluster.policy({ exits: [{ ...internet, gateways, fastPath: true }] });
    await cluster.up();
    const pods = await cluster.startedOnEach();
    for (const to of cluster.all.toReversed()) {
      await cluster.move(internet.name, to);
      for (const [i, node] of cluster.all.entries()) {
        const pod = pods[i] ?? assert.fail();
        assert.equal(await faults(node, [pod]), '');
        assert.deepEqual(await pod.askEach('udp'), internet.addresses);
        const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
        assert.equal(exits[0].dropped.packets, 0);
      }
    }
  });
});
