import assert from 'node:assert/strict';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { egressEntry, partners, primaries } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import type { LabNode } from '../support/node.ts';
import type { Call } from '../support/plugin.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** How DEL is called, and what has happened before it. */
interface Situation {
  readonly when: string;
  readonly happened?: (node: LabNode, pod: Pod) => Promise<unknown>;
  readonly call?: Call;
  /** Files that the plugin must have put aside, by how their names begin. */
  readonly aside?: readonly string[];
}

const situations: readonly Situation[] = [
  { when: 'called with all that a runtime knows' },
  { when: 'called twice', happened: (node, pod) => del(node, pod) },
  { when: 'CNI_NETNS is empty', call: { env: { CNI_NETNS: '' } } },
  { when: 'CNI_NETNS is not set', call: { env: { CNI_NETNS: undefined } } },
  { when: 'the path in CNI_NETNS is gone', call: { env: { CNI_NETNS: '/run/netns/is-gone' } } },
  { when: 'there is no prevResult', call: { config: { prevResult: undefined } } },
  { when: 'CNI_ARGS and CNI_PATH are not set', call: { env: { CNI_ARGS: undefined, CNI_PATH: undefined } } },
  { when: 'the policies are broken by now', call: { config: { policies: 'none', exits: [{}] } } },
  { when: 'the policy file is gone by now', call: { config: { policyFile: '/etc/cni/is-gone.json' } } },
  { when: 'the exit’s routes are gone', happened: ({ machine }) => flushRoutes(machine) },
  { when: 'the node was started again, so that the kernel is empty', happened: reboot },
  { when: 'the table is gone', happened: (node) => node.machine.must(['nft', 'delete table inet cni-egress']) },
  { when: 'the record is deleted', happened: async (node) => rm(await recordFile(node)) },
  {
    when: 'the record is truncated',
    happened: async (node) => truncate(await recordFile(node), 40),
    aside: ['cluster+'],
  },
  {
    when: 'the record is empty',
    happened: async (node) => truncate(await recordFile(node)),
    aside: ['cluster+'],
  },
  {
    when: 'the record is not JSON',
    happened: async (node) => writeFile(await recordFile(node), 'no JSON'),
    aside: ['cluster+'],
  },
];

for (const primary of primaries) {
  describe(`after the last DEL, which follows ${primary}, the node is as before the first ADD,`, labTest, () => {
    for (const { when, happened, call, aside = [] } of situations) {
      test(`when ${when}`, async () => {
        await using lab = await Lab.create();
        const node = await settledNode(lab, primary);
        const before = await snapshot(node);
        const pod = await node.started();
        assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
        await happened?.(node, pod);
        await del(node, pod, call);
        await node.withoutEgress(() => node.end(pod));
        assertUnchanged(before, await snapshot(node));
        const [lock, ...others] = (await node.records()).toReversed();
        assert.equal(lock, 'lock');
        assert.equal(others.length, aside.length, `${others}`);
        assert.ok(
          aside.every((name, i) => others[i]?.startsWith(name)),
          `${others}`,
        );
      });
    }
  });
}

describe('DEL', labTest, () => {
  test('of the last pod that leaves by an interface takes what counts there, and nothing else', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    const front = { name: 'front', interface: 'eth0', nextHop: world.front.gateway };
    const policies = [partners, front].map(({ name }) => ({ name, namespaces: [name], exit: name }));
    await node.write({ egress: egressEntry({ exits: [partners, front], policies }) });
    const pods = [await node.started('partners'), await node.started('partners'), await node.started('front')];
    const counting: (readonly string[])[] = [];
    for (const pod of pods) {
      await del(node, pod);
      const chains = await node.machine.must(['nft', 'list', 'chains', 'netdev']);
      counting.push(chains.match(/sent-\w+/g) ?? []);
      assert.equal((await node.egress('check')).code, 0);
    }
    assert.deepEqual(counting, [['sent-eth1', 'sent-eth0'], ['sent-eth0'], []]);
    await node.withoutEgress(() => Promise.all(pods.map((pod) => node.end(pod))));
    assertUnchanged(before, await snapshot(node));
  });

  test('after an ADD that failed takes down nothing, and does not fail', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    await node.write({ egress: egressEntry({ exits: [{ ...partners, interface: 'eth9' }] }) });
    const pod = await node.pod();
    await assert.rejects(node.add(pod), /eth9/);
    assert.deepEqual(await node.records(), ['lock']);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('of an attachment that was never added does not fail', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    await del(node, await node.pod());
    assertUnchanged(before, await snapshot(node));
  });

  test('leaves another pod all that it needs', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    const [first, second] = [await node.started(), await node.started()];
    await node.end(first);
    assert.equal((await node.plugin('CHECK', { pod: second })).code, 0);
    assert.deepEqual(await second.askEach(), world.exitAddress);
    await node.end(second);
    assertUnchanged(before, await snapshot(node));
  });

  for (const namespace of ['default', 'other']) {
    test(`that comes late leaves all to a pod of namespace ${namespace} that got the same address`, async () => {
      await using lab = await Lab.create();
      const node = await settledNode(lab);
      await node.write({ ranges: ['10.0.0.50', 'fd00:10::50'].map(oneAddress) });
      const before = await snapshot(node);
      const first = await node.started();
      await node.withoutEgress(() => node.end(first));
      const second = await node.started(namespace);
      assert.deepEqual(second.addresses, first.addresses);
      await del(node, first);
      assert.deepEqual(await second.askEach(), namespace === 'default' ? world.exitAddress : node.addresses('eth0'));
      assert.equal((await node.plugin('CHECK', { pod: second })).code, 0);
      await node.end(second);
      assertUnchanged(before, await snapshot(node));
      assert.deepEqual(await node.records(), ['lock']);
    });
  }

  test('deletes the connections of the pod from connection tracking, and those of no other', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [first, second] = [await node.started(), await node.started()];
    await Promise.all([first, second].map((pod) => pod.askEach()));
    assert.equal(await connections(node, first), 2);
    await del(node, first);
    assert.equal(await connections(node, first), 0);
    assert.equal(await connections(node, second), 2);
  });

  test('gives back the reverse path filter only when nobody changed it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 0 });
    await node.end(pod);
    assert.equal((await node.machine.must(['sysctl', '-n', 'net.ipv4.conf.eth1.rp_filter'])).trim(), '0');
  });
});

async function settledNode(lab: Lab, primary: (typeof primaries)[number] = 'bridge'): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ primary });
  await node.settle();
  return node;
}

/** DEL of egress alone, which has to succeed without a word. */
async function del(node: LabNode, pod: Pod, call?: Call): Promise<void> {
  const { code, stdout } = await node.plugin('DEL', { pod, ...call });
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '' });
}

/** What is left of our objects after the machine was started again. */
async function reboot({ machine }: LabNode): Promise<void> {
  await machine.must(['nft', 'delete table inet cni-egress']);
  await machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 1 });
  await flushRoutes(machine);
  const rules = ['-4', '-6'].flatMap((family) => ['700', '701', '702'].map((priority) => [family, priority] as const));
  for (const [family, priority] of rules) await machine.must(['ip', family, 'rule', 'delete', 'priority', priority]);
}

async function flushRoutes(machine: Namespace): Promise<void> {
  for (const family of ['-4', '-6']) {
    await machine.must(['ip', family, 'route', 'flush', 'table', 'all', 'proto', '230']);
  }
}

async function recordFile(node: LabNode): Promise<string> {
  const [file] = await readdir(node.state('egress/attachments'));
  return node.state(`egress/attachments/${file}`);
}

const oneAddress = (address: string) => {
  const subnet = address.includes(':') ? 'fd00:10::/64' : '10.0.0.0/24';
  return { subnet, rangeStart: address, rangeEnd: address };
};

/** How many connections of the pod the node knows. */
async function connections({ machine }: LabNode, { addresses }: Pod): Promise<number> {
  const lists = addresses.map((address) => {
    const family = address.includes(':') ? 'ipv6' : 'ipv4';
    return machine.run(['conntrack', '-L', '-f', family, '--orig-src', address]);
  });
  return (await Promise.all(lists)).reduce((sum, { stdout }) => sum + stdout.split('\n').length - 1, 0);
}
