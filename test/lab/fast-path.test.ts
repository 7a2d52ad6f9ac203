import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster, internet } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

const fast = egressEntry({ exits: [{ ...partners, fastPath: true }] });

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
      for (const family of ['inet', 'netdev']) {
        const written = await node.machine.must(['nft', '-s', 'list', 'table', family, 'cni-egress']);
        assert.match(
          written,
          { inet: /chain fast /, netdev: node === gateway ? /goto fast-served/ : /@sent/ }[family] ?? /^$/,
        );
        await node.machine.must(['nft', '-c', '-f', '-'], { stdin: written });
      }
    }
    await worker.end(pod);
    assertUnchanged(before, await snapshot(worker));
  });
});
