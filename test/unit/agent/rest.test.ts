import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { lookEvery } from '../../../src/agent/rest.ts';
import { reversePathName } from '../../../src/datapath/reverse-path.ts';
import { AgentNode, otherPolicies, policyText } from '../support/agent-node.ts';
import { type FakeMachine, newMachine } from '../support/fake-machine.ts';

/** A node with running pods, whose agent has found all right once; `asked` counts the questions to the kernel since. */
async function nodeAtRest(t: TestContext, pods: number) {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 60_000 }); // changes of files are not of this moment
  const machine = newMachine(t);
  const { host } = machine;
  const questions = Object.getOwnPropertyNames(Object.getPrototypeOf(host)).filter((name) =>
    /^(read|list|find)/.test(name),
  );
  let count = 0;
  for (const name of questions) {
    const ask = Reflect.get(host, name) as (...words: unknown[]) => unknown;
    Reflect.set(host, name, (...words: unknown[]) => {
      count++;
      return ask.apply(host, words);
    });
  }
  const node = new AgentNode(t, machine);
  for (let i = 1; i <= pods; i++) {
    machine.host.links.set(`veth-${i}`, { index: 1_000 + i, name: `veth-${i}`, up: true, mtu: 1500, type: 'veth' });
    node.runs(String(i), `10.0.0.${i}`, `veth-${i}`);
  }
  node.policy();
  node.chain();
  const agent = node.agent();
  await agent.look();
  node.now = 10_000;
  await agent.look();
  node.now = 20_000;
  const last = () => node.seen.at(-1)?.round;
  assert.deepEqual(last(), {
    ...{ changes: [], adopted: [], collected: [], refused: [], failures: [], isWhole: true, isConfigured: true },
  });
  count = 0;
  return { node, machine, agent, last, asked: () => count };
}

/** A pod's elements go, and nobody tells the agent. */
function loseElementsOf({ host }: FakeMachine, mark: string): void {
  const elements = host.kernel.podElements().filter(({ comment }) => comment === mark);
  assert.ok(elements.length > 0);
  host.kernel.transact(elements.map((object) => ({ verb: 'delete', object })));
}

describe('on a node at rest', () => {
  test('a glance does, which asks no more the more pods there are', async (t) => {
    const counts: number[] = [];
    for (const pods of [2, 40])
      await t.test(`${pods} pods`, async (t) => {
        const { agent, last, asked } = await nodeAtRest(t, pods);
        await agent.look(false);
        assert.equal(last()?.glance, 'enough');
        counts.push(asked());
      });
    assert.deepEqual(counts[1], counts[0]);
  });

  test('a glance finds what no message tells of, and says since when at most', async (t) => {
    const { node, machine, agent, last } = await nodeAtRest(t, 3);
    const filter = reversePathName('eth1');
    const right = machine.host.readSysctl(filter);
    node.now = 40_000;
    await agent.look(false);
    machine.host.kernel.sysctls.set(filter, '1');
    node.now = 70_000;
    await agent.look(false);
    assert.equal(last()?.glance, 'found');
    assert.match(node.said.at(-1) ?? '', /^put back .*rp_filter.*"wrongForMsAtMost":30000/);
    assert.equal(machine.host.readSysctl(filter), right);
  });

  test('what was lost of a pod without a trace comes back with the next look at all', async (t) => {
    const { node, machine, agent, last } = await nodeAtRest(t, 3);
    const all = machine.host.kernel.podElements().length;
    loseElementsOf(machine, 'pods/2/eth0');
    await agent.look(false);
    assert.equal(last()?.glance, 'enough');
    node.now = 10_000 + lookEvery;
    await agent.look(false);
    assert.deepEqual([last()?.glance, machine.host.kernel.podElements().length], [undefined, all]);
    assert.match(node.said.at(-1) ?? '', new RegExp(`^put back .*"wrongForMsAtMost":${lookEvery}`));
  });

  test('all is looked at when somebody rang', async (t) => {
    const { machine, agent, last } = await nodeAtRest(t, 3);
    loseElementsOf(machine, 'pods/2/eth0');
    await agent.look();
    assert.deepEqual([last()?.glance, (last()?.changes.length ?? 0) > 0], [undefined, true]);
  });

  const others: Readonly<Record<string, (node: AgentNode) => void>> = {
    'other policies': (node) => node.policy(policyText(otherPolicies)),
    'a pod that libcni knows': (node) => node.runs('9', '10.0.0.9', 'veth2'),
    'a record less': ({ machine }) => rmSync(join(machine.dataDir, 'attachments/pods+2+eth0.json')),
    'another chain': (node) => node.plainChain('another'),
    'a right that is missing': (node) => {
      node.missingRights = ['it may not'];
    },
  };
  for (const [what, change] of Object.entries(others))
    test(`${what} is seen, though nothing rang`, async (t) => {
      const { node, agent, last } = await nodeAtRest(t, 3);
      change(node);
      await agent.look(false);
      const { glance, failures } = last() ?? {};
      assert.deepEqual(
        [glance, failures],
        node.missingRights.length > 0 ? ['enough', ['it may not']] : [undefined, []],
      );
    });

  test('a failure is tried again as long as it lasts', async (t) => {
    const { node, machine, agent, last } = await nodeAtRest(t, 3);
    const { isOnLink } = machine.host;
    machine.host.isOnLink = async () => false;
    node.runs('9', '10.0.0.9', 'veth2');
    await agent.look(false);
    assert.equal(last()?.failures.length, 1);
    machine.host.isOnLink = isOnLink;
    await agent.look(false);
    assert.deepEqual([last()?.failures, last()?.adopted.length], [[], 1]);
  });
});
