import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentNode, policyTo } from '../bench/agent-node.ts';
import { holdsDuring } from '../bench/holds.ts';
import { sentDuring } from '../bench/netlink.ts';
import { partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';

/** Running pods: more than change together. */
const pods = 40;
/** How many of them change together at most, and at first and beside others who ask for the store's lock. */
const [together, few] = [32, 8] as const;

// cni-egress 0.1.0 changed one pod after the other, each with looks at all that the pods of the node have: 1000 pods took many minutes.
test(
  'another exit for many running pods takes few transactions, is right for each of them, and a fault of one is found among all',
  labTest,
  async () => {
    await using lab = await Lab.create();
    const one = await AgentNode.create(lab, 5, pods, policyTo(partners.name));
    const { calls, transactions } = await sentDuring(one.node, one.agent.pid, async () => {
      const from = one.agent.length;
      one.replacePolicy('second');
      await one.haveChanged(from);
    });
    // Two for each change of many, and some for what they share.
    assert.ok(transactions.length <= 4 + 2 * Math.ceil(pods / few), `${transactions.length} transactions`);
    assert.ok(calls <= 30 * pods, `${calls} requests for ${pods} pods`);
    assert.equal(await one.agent.end(), 'exit code 0');
    const checked = await one.node.egress('check');
    assert.deepEqual([checked.code, checked.stderr], [0, ''], checked.stdout);
    // Of many chains at interfaces a look for one pod reads its own.
    await one.node.machine.must(['nft', 'flush chain netdev cni-egress from-veth37']);
    const found = await one.node.egress('check');
    assert.equal(found.code, 1);
    assert.match(found.stdout, /container-37/);
    assert.doesNotMatch(found.stdout, /container-36/);
  },
);

// An ADD waits for what the agent has the lock for: beside others few pods at a time, and no look that takes long.
test(
  'another exit for many running pods keeps the lock for few pods at a time while others ask for it',
  labTest,
  async () => {
    await using lab = await Lab.create();
    const one = await AgentNode.create(lab, 5, pods, policyTo(partners.name));
    const change = async (exit: string) => {
      const from = one.agent.length;
      one.replacePolicy(exit);
      await one.haveChanged(from);
    };
    const alone = await holdsDuring(one.node, one.agent.pid, () => change('second'));
    const others = await one.node.machine.start(
      ['sh', '-c', 'echo begins; while :; do flock "$0" sleep 0.03; sleep 0.01; done', one.node.state('egress/lock')],
      'begins',
    );
    const beside = await holdsDuring(one.node, one.agent.pid, () => change(partners.name));
    await others.stop();
    const most = (holds: typeof alone) => Math.max(...holds.map(({ records }) => records));
    const written = (holds: typeof alone) => holds.reduce((sum, { records }) => sum + records, 0);
    const first = alone.find(({ records }) => records > 0);
    assert.deepEqual([first?.records, written(alone), written(beside)], [few, pods, pods]);
    assert.ok(most(alone) <= together && most(beside) <= few, `${most(alone)} alone, ${most(beside)} beside others`);
    for (const { connectionListings, listings, calls, syncs, records } of [...alone, ...beside]) {
      assert.equal(connectionListings, 0);
      if (records === 0) continue; // what only the earlier program needed goes, when all pods have left it
      // All was looked at before, and written to the disk: the first has a new exit, its record and its program.
      assert.equal(listings, 0);
      assert.ok(calls <= 30 + records, `${calls} requests for ${records} pods`);
      assert.ok(syncs <= 5, `waits ${syncs} times for the disk for ${records} pods`);
    }
    assert.equal(await one.agent.end(), 'exit code 0');
    const checked = await one.node.egress('check');
    assert.deepEqual([checked.code, checked.stderr], [0, ''], checked.stdout);
  },
);
