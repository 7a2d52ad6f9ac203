import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { kernelOf, parametersOf, roundsUntilWell, setUpAnew } from '../support/fresh.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { repeating } from '../support/repeating.ts';
import { changedLines } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** How often the exit moves from one gateway to the other and back; 20 times take some minutes. */
const moves = Number(process.env.EGRESS_MOVES ?? 1);

/** Calls a command that has to succeed, and to say nothing of an error. */
async function called(node: LabNode, ...words: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await node.egress(...words);
  assert.deepEqual([code, stderr], [0, ''], `${words.join(' ')}: ${stdout}`);
}

/** All that a person may call on a node beside its agent. */
const byHand = [['gc'], ['repair'], ['adopt', '--outdated'], ['agent', '--once'], ['status']] as const;

const callingAll = (node: LabNode, ...more: readonly (readonly string[])[]) =>
  repeating(async (time) => {
    const all = [...byHand, ...more];
    await called(node, ...(all[time % all.length] ?? []));
  });

// People and cron jobs that call what an agent does anyway.
test(
  'an agent on the node of pods, and all that people call there and on gateways, while pods come and go and an exit moves, do each other no harm',
  labTest,
  async (t) => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    const [worker] = cluster.workers;
    const [first, second] = cluster.gateways;
    assert.ok(worker && first && second);
    const parameters = await Promise.all(cluster.all.map(parametersOf));
    // Gateways with agents elect, and no exit is moved by hand then: see gateway-election.test.ts.
    const agents = await Promise.all(cluster.workers.map((node) => RunningAgent.start(node)));
    await cluster.up();
    const pods = [await worker.started(), await worker.started()];
    const idle = await RunningAgent.startUntil(worker, 'Another agent looks after this node');
    const captured = await cluster.capture();
    const senders = await Promise.all(pods.map((pod) => pod.send('pause=0.05', ...world.service)));
    const beside = [
      callingAll(worker),
      ...[first, second].map((node) => callingAll(node, ['gateway', '--policy', policyFile])),
      repeating(async () => worker.end(await worker.started())),
    ];
    for (let i = 0; i < moves; i++) for (const gateway of [second, first]) await cluster.move(internet.name, gateway);
    const calls = await Promise.all(beside.map((stop) => stop()));
    await Promise.all(senders.map((sender) => sender.stop()));
    assert.deepEqual(cluster.leaks(await captured(), internet.addresses), []);
    t.diagnostic(`${moves} times there and back, beside ${calls.join(', ')} calls and pods`);
    for (const [i, agent] of agents.entries()) {
      assert.equal(await agent.end(), 'exit code 0');
      const failures = agent.said().flatMap(({ failure, msg }) => (msg === 'could not be done' ? [failure] : []));
      assert.deepEqual(failures, [], `agent ${i}`);
    }
    await idle.line('the agent looks after this node');
    assert.equal(await idle.end(), 'exit code 0');
    for (const pod of pods) assert.deepEqual(await pod.askEach(), internet.addresses);
    for (const [i, node] of cluster.all.entries()) {
      await node.machine.run(['conntrack', '-F']);
      await roundsUntilWell(node);
      const after = await kernelOf(node);
      await setUpAnew(node, parameters[i] ?? '');
      assert.deepEqual(changedLines((await kernelOf(node)).join('\n'), after.join('\n')), [], `node ${i}`);
    }
    for (const pod of pods) assert.deepEqual(await pod.askEach(), internet.addresses);
  },
);
