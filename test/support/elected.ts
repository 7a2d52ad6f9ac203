import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from './agent.ts';
import type { Json } from './chain.ts';
import { Cluster, internet } from './cluster.ts';
import { Connections, Partner } from './connections.ts';
import type { Lab } from './lab.ts';
import type { LabNode } from './node.ts';
import type { Pod } from './pod.ts';

/** Waits for a condition. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await setTimeout(5);
}

/** How many of the exit's addresses a node has on the interface that it leaves by. */
export async function held({ machine }: LabNode): Promise<number> {
  const shown = await machine.must(['ip', '-o', 'address', 'show', 'dev', 'eth0']);
  return internet.addresses.filter((address) => shown.includes(` ${address}/`)).length;
}

/** The numbers of the gateways that have all of the exit's addresses; that one has some is an error. */
export async function holders({ gateways }: Cluster): Promise<readonly number[]> {
  const counts = await Promise.all(gateways.map(held));
  for (const count of counts) assert.ok(count === 0 || count === internet.addresses.length);
  return gateways.filter((_, i) => counts[i] !== 0).map(({ number }) => number);
}

/** Waits until a gateway alone has all of the addresses. */
export const isHeldBy = (cluster: Cluster, node: LabNode) =>
  until(async () => (await held(node)) === internet.addresses.length && (await holders(cluster)).length === 1);

/** Two gateways and a worker with agents, where others put the exit's addresses on one of the gateways: nobody has yet. */
export async function heldElsewhere(lab: Lab) {
  const cluster = await Cluster.create(lab);
  await cluster.policy({ exits: [{ ...internet, announce: 'elsewhere' }] });
  const [first, second] = cluster.gateways;
  const [worker] = cluster.workers;
  assert.ok(first && second && worker);
  for (const node of cluster.all) await RunningAgent.start(node);
  return { cluster, first, second, worker } as const;
}

/** Waits until a pod leaves with the exit's addresses. */
export const isServed = (pod: Pod) =>
  until(async () => (await pod.askEach()).every((answer, i) => answer === internet.addresses[i]));

/** Two gateways and a worker with agents, of which the first gateway has the exit's addresses, and a pod on each node. */
export async function elected(lab: Lab, policy: Json = {}) {
  const cluster = await Cluster.create(lab);
  await cluster.policy(policy);
  const [first, second] = cluster.gateways;
  const [worker] = cluster.workers;
  assert.ok(first && second && worker);
  const agents = new Map<LabNode, RunningAgent>();
  for (const node of cluster.all) agents.set(node, await RunningAgent.start(node));
  await isHeldBy(cluster, first);
  const pods = await cluster.startedOnEach();
  const partner = await Partner.start(lab.front.host);
  await until(async () => {
    const answers = await Promise.all(pods.map((pod) => pod.askEach()));
    return answers.every((answer) => answer.every((address, i) => address === internet.addresses[i]));
  });
  return { cluster, first, second, worker, agents, pods, partner } as const;
}

/** What {@link elected} made. */
export type Elected = Awaited<ReturnType<typeof elected>>;

/** The agent of a node. */
export const agentOf = ({ agents }: Elected, node: LabNode): RunningAgent => {
  const agent = agents.get(node);
  assert.ok(agent);
  return agent;
};

/** The process of elections that an agent has started. */
export const electionOf = async ({ machine }: LabNode, agent: RunningAgent): Promise<number> =>
  Number(await machine.must(['pgrep', '-P', String(agent.pid), '-f', 'election']));

/** Connections of all pods go on through an event, with the exit's addresses and none other, and none is lost. */
export async function goOn(t: TestContext, world: Elected, event: () => Promise<void>): Promise<void> {
  try {
    await goesOn(t, world, event);
  } catch (error) {
    for (const [node, agent] of world.agents) t.diagnostic(await stateOf(node, agent));
    throw error;
  }
}

/** What a node knows of connections and their ways, and what its agent said: what failed once in a hundred times may not fail again. */
async function stateOf({ machine, number }: LabNode, { daemon }: RunningAgent): Promise<string> {
  const texts = [`node ${number}:`, ...daemon.lines.slice(-40)];
  for (const command of ['ip -o address show dev eth0', 'ip route show table all proto 230', 'conntrack -L'])
    texts.push(`${command}:`, (await machine.run(command.split(' '))).stdout);
  return texts.join('\n');
}

async function goesOn(t: TestContext, { cluster, pods, partner }: Elected, event: () => Promise<void>): Promise<void> {
  const stop = await cluster.capture();
  const all = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 10)));
  await Promise.all(all.map((connections) => connections.round()));
  await event();
  const rounds = await Promise.all(all.map((connections) => connections.round()));
  const lost = rounds.flatMap(({ broken }) => broken);
  t.diagnostic(
    `longest gap: ${rounds.map(({ gap }) => gap).join(', ')} ms; lost: ${lost.length} of ${10 * pods.length} connections`,
  );
  assert.deepEqual(
    rounds.flatMap(({ silent }) => silent),
    [],
  );
  const peers = new Set(rounds.flatMap((round) => round.peers));
  assert.deepEqual(peers, new Set(internet.addresses));
  assert.deepEqual([lost, partner.broken], [[], []]);
  assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
}
