import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { agentOf, elected, holders, isHeldBy, isServed, until } from '../support/elected.ts';
import { Lab, labTest } from '../support/lab.ts';

describe('agents that have begun since egress leaves their nodes, as when a DaemonSet has changed', labTest, () => {
  test('lead running pods to the gateway that has the addresses, and elect another one when it ends', async () => {
    await using lab = await Lab.create();
    const made = await elected(lab);
    const { cluster, first, second, worker, pods } = made;
    await agentOf(made, worker).end();
    await cluster.write({ egress: { type: 'egress', draining: true } });
    // The hand-over, of which the worker hears nothing.
    await agentOf(made, first).end();
    await isHeldBy(cluster, second);
    for (const node of [worker, first]) await RunningAgent.start(node);
    for (const pod of pods) await isServed(pod);

    await agentOf(made, second).end();
    await isHeldBy(cluster, first);
    await RunningAgent.start(second);
    for (const pod of pods) await isServed(pod);
    assert.deepEqual(await holders(cluster), [first.number]);
    await until(async () => (await cluster.gateways[1]?.records())?.includes('elections.json') === true);
  });
});
