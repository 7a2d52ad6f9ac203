import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { planRound } from '../../../src/agent/plan.ts';
import { keyOf } from '../../../src/datapath/difference.ts';
import { bringUp } from '../../../src/gateway/gateway.ts';
import { AgentNode, otherPolicies, policyText } from '../support/agent-node.ts';
import { added, gatewayConfiguration, newMachine, newNode, stateOf } from '../support/fake-machine.ts';

async function withPod(t: TestContext): Promise<AgentNode> {
  const node = new AgentNode(t, newMachine(t));
  node.policy();
  node.chain();
  node.runs('a', '10.0.0.5', 'veth1');
  await added(node.machine, 'a', '10.0.0.5');
  return node;
}

const plan = (node: AgentNode) => planRound(node.places, node.surroundings);

describe('the plan of a round', () => {
  test('is empty where all is right', async (t) => {
    assert.deepEqual(await plan(await withPod(t)), { changes: [], collected: [], adoptions: [], remarks: [] });
  });

  test('is what the round then does, each object once, and nothing is changed before', async (t) => {
    const node = await withPod(t);
    await added(node.machine, 'dead', '10.0.0.9');
    node.machine.host.kernel.deleteTables();
    node.machine.host.links.delete('veth-dead');
    const before = stateOf(node.machine);
    const { changes, collected } = await plan(node);
    assert.deepEqual(stateOf(node.machine), before);
    assert.equal(new Set(changes.map(({ object }) => keyOf(object))).size, changes.length);
    assert.deepEqual(collected, ['pods/dead/eth0']);
    const done = await node.agent().look();
    const keys = (all: typeof changes) => new Set(all.map(({ verb, object }) => `${verb} ${keyOf(object)}`));
    const planned = keys(changes);
    assert.deepEqual(
      [...keys(done.changes)].filter((key) => !planned.has(key)),
      [],
    );
    assert.deepEqual(done.collected, collected);
  });

  test('names pods that would be given something else, and those that could not', async (t) => {
    const node = await withPod(t);
    node.runs('b', '10.0.0.6', 'veth-b');
    node.policy(policyText({ ...otherPolicies }));
    const { adoptions } = await plan(node);
    assert.deepEqual(
      adoptions.map(({ pod, exits }) => [pod.name, exits]),
      [
        ['pod-a', ['backup']],
        ['pod-b', ['backup']],
      ],
    );
  });

  test('keeps what is on record while the configuration cannot be read, and says so', async (t) => {
    const node = await withPod(t);
    node.policy('{');
    node.machine.host.kernel.deleteTables();
    node.runs('b', '10.0.0.6', 'veth-b');
    const { changes, adoptions, remarks } = await plan(node);
    assert.ok(changes.length > 0);
    assert.deepEqual(adoptions, []);
    assert.match(`${remarks}`, /^the node is kept as its records say: Policy file .* is no complete JSON document/);
  });

  test('begins nothing while egress leaves, and ends what only others need', async (t) => {
    const node = new AgentNode(t, newNode(t, '172.18.0.6'));
    node.chain({ draining: true });
    assert.deepEqual((await plan(node)).changes, []);
    await bringUp(node.machine, gatewayConfiguration());
    const { changes, remarks } = await plan(node);
    assert.deepEqual([...new Set(changes.map(({ verb }) => verb))], ['remove']);
    assert.deepEqual(remarks, ['egress leaves this node: nothing is begun']);
    await added(node.machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
    assert.deepEqual((await plan(node)).changes, []);
  });
});
