import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Host } from '../../../src/datapath/host.ts';
import type { Machine } from '../../../src/node/machine.ts';
import { recordVersion } from '../../../src/store/migration.ts';
import { AgentNode, otherPolicies, policyText } from '../support/agent-node.ts';
import { type FakeMachine, newMachine } from '../support/fake-machine.ts';

/** What is asked of the kernel as a whole, and what changes it: each costs more the more pods there are. */
const counted = ['observe', 'observeOurs', 'apply', 'listFlows', 'listHeld', 'listAllAddresses'] as const;

/** Runs pods that egress does not know yet, and counts what is asked of the kernel from now on. */
function nodeWith(t: TestContext, pods: number) {
  const machine = newMachine(t);
  const counts = new Map<string, number>();
  const host = new Proxy(machine.host, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== 'function') return value;
      counts.set(String(name), (counts.get(String(name)) ?? 0) + (isCounted(name) ? 1 : 0));
      return value.bind(target);
    },
  });
  const node = new AgentNode(t, { ...machine, host, [Symbol.dispose]: () => {} });
  for (let i = 1; i <= pods; i++) {
    machine.host.links.set(`veth-${i}`, { index: 1_000 + i, name: `veth-${i}`, up: true, mtu: 1500, type: 'veth' });
    node.runs(String(i), `10.0.0.${i}`, `veth-${i}`);
  }
  node.policy();
  node.chain();
  return { node, machine, asked: () => [...counts.values()].reduce((sum, count) => sum + count, 0) };
}

const isCounted = (name: string | symbol): boolean => counted.some((each: keyof Host) => each === name);

/** How often the kernel is asked as a whole while so many pods get their exits, and while they get others. */
async function askedFor(t: TestContext, pods: number): Promise<readonly number[]> {
  const { node, machine, asked } = nodeWith(t, pods);
  const agent = node.agent();
  await agent.look();
  const adopted = asked();
  node.policy(policyText(otherPolicies));
  await agent.look();
  const exits = machine.store.list().map(({ outline }) => outline[0]?.exit);
  assert.deepEqual(
    exits,
    Array.from({ length: pods }, () => 'backup'),
  );
  return [adopted, asked() - adopted];
}

/** What others do between a look without the lock and the change. */
const between: Readonly<Record<string, (machine: FakeMachine) => void>> = {
  nothing: () => {},
  'the ruleset': ({ host }) => {
    host.kernel.generation++;
  },
  'the choice of a gateway': ({ dataDir }) =>
    writeFileSync(
      join(dataDir, 'moves.json'),
      JSON.stringify({ version: recordVersion, gateways: { elsewhere: '172.18.0.9' } }),
    ),
  'a record': ({ dataDir, store }) => {
    const [file = ''] = readdirSync(join(dataDir, 'attachments')).sort();
    const [record] = store.list();
    writeFileSync(join(dataDir, 'attachments', file), JSON.stringify({ ...record, holds: true }));
  },
};

const exitsIn = ({ store }: Machine) => store.list().map(({ outline }) => outline[0]?.exit);

const sum = (counts: readonly number[]) => counts.reduce((all, count) => all + count, 0);

describe('many running pods', () => {
  // Eight at a time, or more.
  test('are changed together: twelve groups of eight take at most thirteen times the looks and transactions of one', async (t) => {
    const few = await askedFor(t, 8);
    const many = await askedFor(t, 96);
    for (const [i, count] of many.entries()) assert.ok(count <= 13 * (few[i] ?? 0), `${few} for 8, ${many} for 96`);
    assert.ok(Math.max(...few) <= 10, `${few}`);
  });

  test('that cannot have what they should keep no other from it', async (t) => {
    const { node, machine } = nodeWith(t, 5);
    const { isOnLink } = machine.host;
    machine.host.isOnLink = async (address) => address !== '10.0.0.3' && (await isOnLink.call(machine.host, address));
    await node.agent().look();
    const { adopted = [], failures = [] } = node.seen[0]?.round ?? {};
    assert.deepEqual(adopted.map(({ containerId }) => containerId).sort(), ['1', '2', '4', '5']);
    assert.match(failures.join(), /^pod default\/pod-3: The node reaches the pod's address 10\.0\.0\.3/);
  });

  test('that end while others are looked at are left alone, as their DEL left them', async (t) => {
    const { node, machine } = nodeWith(t, 5);
    const { isOnLink } = machine.host;
    machine.host.isOnLink = async (address) => {
      const first = machine.host.links.get('veth-1');
      if (first && address === '10.0.0.4') machine.host.links.set('veth-1', { ...first, up: false });
      return await isOnLink.call(machine.host, address);
    };
    await node.agent().look();
    const { adopted = [], failures } = node.seen[0]?.round ?? {};
    assert.deepEqual(adopted.map(({ containerId }) => containerId).sort(), ['2', '3', '4', '5']);
    assert.deepEqual([failures, machine.store.list().length], [[], 4]);
  });

  test('all keep what they had when the transaction for all is refused, and then each is changed alone', async (t) => {
    const { node, machine } = nodeWith(t, 5);
    const agent = node.agent();
    await agent.look();
    const { apply } = machine.host;
    const sizes: number[] = [];
    machine.host.apply = async (changes, generation) => {
      const comments = changes.map(({ object }) => (object.kind === 'element' ? object.comment : undefined));
      const pods = new Set(comments.filter((comment) => comment?.startsWith('pods/')));
      sizes.push(pods.size);
      if (pods.size > 1) throw new Error('refused');
      return await apply.call(machine.host, changes, generation);
    };
    node.policy(policyText(otherPolicies));
    await agent.look();
    assert.ok(sizes.includes(5) && sizes.filter((size) => size === 1).length >= 5, sizes.join());
    const exits = machine.store.list().map(({ outline }) => outline[0]?.exit);
    assert.deepEqual(exits, ['backup', 'backup', 'backup', 'backup', 'backup']);
    assert.deepEqual(node.seen[1]?.round.failures, []);
  });

  test('are changed a few at a time at first, and as long as others ask for the lock', async (t) => {
    const { node, machine } = nodeWith(t, 42);
    const agent = node.agent();
    await agent.look();
    const { apply } = machine.host;
    const sizes: number[] = [];
    let isWanted = true;
    Object.defineProperty(machine.store, 'isWanted', { get: () => isWanted });
    machine.host.apply = async (changes, generation) => {
      const marks = changes.flatMap(({ verb, object }) =>
        verb !== 'remove' && object.kind === 'element' ? (object.comment ?? []) : [],
      );
      const pods = new Set(marks.filter((mark) => mark.startsWith('pods/')));
      if (pods.size > 0) sizes.push(pods.size);
      return await apply.call(machine.host, changes, generation);
    };
    node.policy(policyText(otherPolicies));
    await agent.look();
    isWanted = false;
    node.policy();
    await agent.look();
    const alone = sizes.splice(sizes.findIndex((_, i) => sum(sizes.slice(0, i)) === 42));
    assert.deepEqual([sum(sizes), sum(alone)], [42, 42]);
    assert.ok(
      sizes.every((size) => size <= 8),
      sizes.join(),
    );
    assert.ok(alone[0] === 8 && alone.every((size) => size <= 32), alone.join());
  });

  for (const [what, interfere] of Object.entries(between))
    test(`${what === 'nothing' ? 'are not' : 'are'} looked at again with the lock when ${what} has changed since the look before it`, async (t) => {
      const { node, machine } = nodeWith(t, 5);
      const agent = node.agent();
      await agent.look();
      const { stage } = machine.store;
      let looks = 0;
      machine.store.stage = (records) => {
        const staged = stage.call(machine.store, records);
        looks = 0;
        interfere(machine);
        return staged;
      };
      const { observe } = machine.host;
      machine.host.observe = async (...question) => {
        looks++;
        return await observe.call(machine.host, ...question);
      };
      node.policy(policyText(otherPolicies));
      await agent.look();
      assert.equal(looks, what === 'nothing' ? 0 : 1);
      assert.deepEqual(exitsIn(machine), ['backup', 'backup', 'backup', 'backup', 'backup']);
      assert.deepEqual(node.seen[1]?.round.failures, []);
    });

  test('without a policy any more have nothing of ours, by few changes', async (t) => {
    const { node, machine, asked } = nodeWith(t, 40);
    const agent = node.agent();
    await agent.look();
    const before = asked();
    node.policy(policyText({ policies: [] }));
    await agent.look();
    assert.deepEqual([machine.store.list(), machine.host.kernel.hasTable], [[], false]);
    assert.ok(asked() - before <= 30, `${asked() - before}`);
  });

  test('hold their own connections, each with the exit that it began with', async (t) => {
    const { node, machine } = nodeWith(t, 3);
    const agent = node.agent();
    await agent.look();
    const flow = {
      family: 4,
      protocol: 6,
      destination: '203.0.113.9',
      destinationPort: 80,
      established: true,
    } as const;
    for (const i of [1, 2])
      machine.host.flows.push({
        ...{ ...flow, id: i, source: `10.0.0.${i}`, sourcePort: 40_000 + i },
        ...{ replySource: flow.destination, replySourcePort: 80, replyDestination: '192.168.0.245' },
      });
    node.policy(policyText(otherPolicies));
    await agent.look();
    const held = await machine.host.listHeld();
    assert.deepEqual(held.map(({ key, comment }) => `${key} ${comment}`).sort(), [
      '00000001 pods/1/eth0',
      '00000002 pods/2/eth0',
    ]);
    assert.deepEqual(
      machine.store.list().map(({ containerId, holds }) => [containerId, holds === true]),
      [
        ['1', true],
        ['2', true],
        ['3', false],
      ],
    );
  });
});
