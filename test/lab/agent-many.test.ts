import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentNode, policyTo } from '../bench/agent-node.ts';
import { sentDuring } from '../bench/netlink.ts';
import { partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';

/** Running pods: more than change together. */
const pods = 40;
/** How many of them change together. */
const together = 32;

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
    assert.ok(transactions.length <= 4 + 2 * Math.ceil(pods / together), `${transactions.length} transactions`);
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
