import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, type Json, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const [byExit, none] = [partners.addresses, ['nothing', 'nothing']];
const byNode = (node: LabNode) => node.addresses('eth0');
const [own] = policy.policies;
const onlyIPv4 = { addresses: byExit.slice(0, 1), nextHop: partners.nextHop.slice(0, 1) };
const second = ['192.168.0.246', 'fd00:168::246'];

/**
 * A row of the table in conf/README.md: a key of the configuration is changed, another pod is started, and then
 * `egress adopt --outdated` is called.
 */
interface Row {
  readonly key: string;
  readonly change: Json;
  /** What each pod is seen as: one that ran before, when the other has started; the other; and the first when adopted. */
  readonly running: (node: LabNode) => readonly string[];
  readonly fresh: (node: LabNode) => readonly string[];
  readonly adopted: (node: LabNode) => readonly string[];
}

const rows: readonly Row[] = [
  {
    key: 'clusterCIDRs, wider',
    change: { clusterCIDRs: [...world.cluster, ...world.outside] },
    running: () => byExit,
    fresh: byNode,
    adopted: byNode,
  },
  {
    key: 'nodes, with one whose podCIDRs are outside',
    change: { nodes: [{ address: '172.18.0.9', podCIDRs: world.outside }] },
    running: () => byExit,
    fresh: byNode,
    adopted: byNode,
  },
  {
    key: 'policies[].destinations',
    change: { policies: [{ ...own, destinations: ['198.51.100.0/24'] }] },
    running: () => byExit,
    fresh: byNode,
    adopted: byNode,
  },
  { key: 'policies, without any', change: { policies: [] }, running: () => byExit, fresh: byNode, adopted: byNode },
  {
    key: 'policies[].exit, now drop',
    change: { policies: [{ ...own, exit: 'drop' }] },
    running: () => byExit,
    fresh: () => none,
    adopted: () => none,
  },
  {
    key: 'exits[].addresses',
    change: { exits: [{ ...partners, addresses: second }] },
    running: () => second,
    fresh: () => second,
    adopted: () => second,
  },
  {
    key: 'exits[].addresses, of one family less',
    change: { exits: [{ ...partners, ...onlyIPv4, onUnavailable: 'node' }] },
    running: () => [byExit[0], 'nothing'],
    fresh: () => [byExit[0], 'nothing'],
    adopted: () => [byExit[0], 'nothing'],
  },
];

describe(
  'when the policy file changes, what pods were given stays whole until something replaces it whole:',
  labTest,
  () => {
    for (const { key, change, running, fresh, adopted } of rows) {
      test(key, async () => {
        await using lab = await Lab.create();
        const node = await lab.node();
        await node.machine.ip(
          `address add ${second[0]}/24 dev eth1`,
          `address add ${second[1]}/64 dev eth1 preferred_lft 0`,
        );
        await node.settle();
        const before = await snapshot(node);
        const pod = await node.started();
        assert.deepEqual(await pod.askEach(), byExit);
        assert.doesNotMatch((await node.egress('check')).stdout, /outdated/);
        await node.write({ egress: egressEntry(change) });
        assert.match((await node.egress('check')).stdout, new RegExp(`default/${pod.name} is outdated`));
        assert.match((await node.egress('status')).stdout, new RegExp(`default/${pod.name} is outdated`));
        assert.deepEqual(await pod.askEach(), byExit);
        const next = await node.started();
        assert.deepEqual(await pod.askEach(), running(node), 'the running pod');
        assert.deepEqual(await next.askEach(), fresh(node), 'the new pod');
        assert.equal((await node.cnitool('check', pod)).code, 0);
        const { code, stdout } = await node.egress('adopt', '--outdated');
        assert.equal(code, 0, stdout);
        assert.deepEqual(await pod.askEach(), adopted(node), 'the running pod, adopted');
        assert.doesNotMatch((await node.egress('check')).stdout, /outdated/);
        assert.equal((await node.cnitool('check', pod)).code, 0);
        for (const one of [pod, next]) await node.end(one);
        assertUnchanged(before, await snapshot(node));
      });
    }

    test('exits[].id is refused while pods use the exit, who keep it', async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      await node.write({ egress: egressEntry({ exits: [{ ...partners, id: 77 }] }) });
      const { code, stderr } = await node.cnitool('add', await node.pod());
      assert.equal(code, 1);
      assert.match(stderr, /exit \\?"partners\\?" has the id 77/);
      assert.deepEqual(await pod.askEach(), byExit);
    });
  },
);
