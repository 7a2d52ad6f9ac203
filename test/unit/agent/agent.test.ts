import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { bringUp } from '../../../src/gateway/gateway.ts';
import { AgentNode, otherPolicies, policyText } from '../support/agent-node.ts';
import { added, gatewayConfiguration, newMachine, newNode } from '../support/fake-machine.ts';

/** A node with a pod that runs, as its ADD left it, and as its agent has seen it once. */
async function looked(t: TestContext) {
  const node = new AgentNode(t, newMachine(t));
  node.policy();
  node.chain();
  node.runs('a', '10.0.0.5', 'veth1');
  await added(node.machine, 'a', '10.0.0.5');
  const agent = node.agent();
  await agent.look();
  return { node, agent };
}

const isMended = (line: string) => line.startsWith('put back what somebody had taken or changed');
const isApplied = (line: string) => line.startsWith('the node is as the configuration says now');

describe('an agent', () => {
  test('says that it has looked, and changes nothing on a node that is right', async (t) => {
    const { node } = await looked(t);
    assert.deepEqual(node.said, ['has looked at all of the node once {}']);
    assert.deepEqual([node.reported, node.seen[0]?.round.changes], [[], []]);
    assert.deepEqual(node.machine.store.agent.load()?.failures, []);
  });

  test('puts back what is gone, and says how long it was wrong, from the first notification on', async (t) => {
    const { node, agent } = await looked(t);
    node.machine.host.kernel.deleteTables();
    node.now = 100;
    agent.notice();
    node.now = 130;
    agent.notice();
    await agent.look();
    const line = node.said.find(isMended) ?? '';
    assert.match(line, /table inet cni-egress is missing.*"wrongForMs":30\}/);
    assert.match(`${node.machine.store.agent.load()?.mended?.what}`, /table inet cni-egress is missing/);
    node.machine.host.kernel.deleteTables();
    node.now = 500;
    await agent.look();
    assert.match(node.said.filter(isMended)[1] ?? '', /"wrongForMsAtMost":370\}/);
  });

  test('gives running pods what changed policies say', async (t) => {
    const { node, agent } = await looked(t);
    node.policy(policyText(otherPolicies));
    await agent.look();
    assert.ok(node.said.some((line) => line.startsWith('a pod has what the policies say now')));
    assert.deepEqual(
      node.machine.store.list()[0]?.outline.map(({ exit }) => exit),
      ['backup'],
    );
  });

  test('tells what a changed configuration called for from what somebody took, also after a round that failed', async (t) => {
    const { node, agent } = await looked(t);
    const { machine } = node;
    node.policy(policyText().replace('192.168.0.1"', '192.168.0.2"'));
    const { loadMoves } = machine.store;
    machine.store.loadMoves = () => {
      throw new Error('EIO');
    };
    assert.equal((await agent.look()).isWhole, false);
    assert.equal(node.said.some(isApplied), false);
    machine.store.loadMoves = loadMoves;
    await agent.look();
    assert.deepEqual([node.said.some(isApplied), node.said.some(isMended)], [true, false], node.said.join('\n'));
    machine.host.kernel.deleteTables();
    await agent.look();
    assert.equal(node.said.some(isMended), true);
  });

  test('changes nothing for a policy file that is broken, which it says once, and is ready again with the next good one', async (t) => {
    const { node, agent } = await looked(t);
    node.policy('{"policies": [');
    await agent.look();
    await agent.look();
    assert.equal(node.reported.length, 1);
    assert.match(node.reported[0] ?? '', /no complete JSON document.*The last good configuration stays in force/);
    assert.equal(node.seen.at(-1)?.isReadable, false);
    assert.deepEqual(
      node.machine.store.list()[0]?.outline.map(({ exit }) => exit),
      ['partners'],
    );
    node.policy();
    await agent.look();
    assert.equal(node.seen.at(-1)?.isReadable, true);
  });

  test('that never saw a good configuration keeps what is on record', async (t) => {
    const node = new AgentNode(t, newMachine(t));
    node.chain();
    await added(node.machine, 'a', '10.0.0.5');
    node.machine.host.kernel.deleteTables();
    await node.agent().look();
    assert.match(node.reported[0] ?? '', /policy.json does not exist.*Until then the node is kept as its records say/);
    assert.equal(node.machine.host.kernel.hasTable, true);
  });

  test('has nothing unreadable any more once egress leaves', async (t) => {
    const { node, agent } = await looked(t);
    node.policy('{');
    await agent.look();
    assert.equal(node.seen.at(-1)?.isReadable, false);
    node.chain({ draining: true });
    await agent.look();
    assert.equal(node.seen.at(-1)?.isReadable, true);
    node.plainChain();
    await agent.look();
    assert.equal(node.seen.at(-1)?.isReadable, true);
    node.chain();
    await agent.look();
    assert.deepEqual([node.seen.at(-1)?.isReadable, node.reported.length], [false, 2]);
  });

  test('says of a round what failed in it, once, and writes it down', async (t) => {
    const { node, agent } = await looked(t);
    node.missingRights = ['it may not'];
    await agent.look();
    await agent.look();
    assert.equal(node.said.filter((line) => line === 'could not be done {"failure":"it may not"}').length, 1);
    assert.deepEqual(node.machine.store.agent.load()?.failures, ['it may not']);
    node.missingRights = [];
    await agent.look();
    assert.ok(node.said.includes('is no more {"failure":"it may not"}'));
  });

  test('writes down why a whole round failed', async (t) => {
    const { node } = await looked(t);
    const agent = node.agent();
    node.machine.store.loadMoves = () => {
      throw new Error('EIO');
    };
    const done = await agent.look();
    assert.deepEqual([done.isWhole, done.failures], [false, ['EIO', 'pod default/pod-a: EIO']]);
    assert.deepEqual(node.machine.store.agent.load()?.failures, done.failures);
    node.machine.store.hasAttachments = () => {
      throw new Error('EMFILE');
    };
    node.chain({ draining: true });
    await assert.rejects(agent.look(), /EMFILE/);
    assert.deepEqual(node.machine.store.agent.load()?.failures, ['EMFILE']);
  });

  test('goes on when it cannot write down what it does, and says so once', async (t) => {
    const { node, agent } = await looked(t);
    node.machine.store.agent.save = () => {
      throw new Error('ENOSPC: no space left on device, write');
    };
    node.machine.host.kernel.deleteTables();
    await agent.look();
    await agent.look();
    assert.equal(node.machine.host.kernel.hasTable, true);
    assert.deepEqual(node.reported, [
      'ENOSPC: no space left on device, write. The agent goes on, and "egress status" does not know what it does.',
    ]);
  });

  test('of one round by hand nothing is written down', async (t) => {
    const node = new AgentNode(t, newMachine(t));
    node.policy();
    node.chain();
    await node.agent().lookOnce();
    assert.equal(node.machine.store.agent.load(), undefined);
    assert.deepEqual(node.seen, []);
  });

  test('ends what it serves when egress leaves and no pod is left, and not before', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    const node = new AgentNode(t, machine);
    await bringUp(machine, gatewayConfiguration());
    const agent = node.agent();
    node.chain({ draining: true });
    await agent.look();
    assert.ok(node.said.includes('serves no exit to others any more: egress leaves this node {"exits":["shared"]}'));
    assert.equal(machine.store.loadNode(), undefined);
  });
});
