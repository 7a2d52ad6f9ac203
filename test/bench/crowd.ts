import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';
import { callsOf, countCalls } from './calls.ts';
import { Gauge } from './gauge.ts';
import { BenchNode } from './node.ts';
import { egress } from './plugins.ts';
import { rateOf } from './process.ts';
import { type ResultTable, ratioColumn, ratioOf, spreadOf } from './result.ts';
import { podsOf, roundsOf } from './statistics.ts';

const rounds = roundsOf(15);
/** Not counted: files come into the cache. */
const warmUps = 1;
/** Pods of which the calls are, beside one that stays. Those of the crowd have other numbers. */
const own = 3;

/** What a node has many of. */
interface Crowd {
  readonly name: string;
  fill(node: BenchNode, lab: Lab): Promise<void>;
}

const levels = [...new Set([250, 1000, 5000].map((level) => podsOf(level)))];
const [manyConnections, manyRoutes] = [podsOf(100_000), podsOf(10_000)];

/** The first is what the others are compared with. */
const crowds: readonly Crowd[] = [
  { name: 'alone', fill: async () => {} },
  ...levels.map((count) => ({ name: `${count} interfaces`, fill: interfacesOfOthers(count) })),
  ...levels.map((count) => ({ name: `${count} pods`, fill: pods(count) })),
  { name: `${manyConnections} connections`, fill: connections(manyConnections) },
  { name: `${manyRoutes} routes`, fill: routes(manyRoutes) },
];

const place = (i: number): string => `${i >> 8}.${i & 255}`;

/** As a plugin makes them that gives each of its pods one: with an address, and a route. */
function interfacesOfOthers(count: number): Crowd['fill'] {
  return async ({ machine }, lab) => {
    const elsewhere = await lab.namespace(lab.unique('others'));
    const numbers = Array.from({ length: count }, (_, i) => i);
    await machine.ip(
      ...numbers.flatMap((i) => [
        `link add many${i} type veth peer name many${i} netns ${elsewhere.name}`,
        `link set many${i} up`,
        `address add 198.18.${place(i)}/32 dev many${i}`,
      ]),
    );
    await elsewhere.ip(...numbers.map((i) => `link set many${i} up`));
    await machine.ip(...numbers.map((i) => `route add 198.19.${place(i)}/32 dev many${i}`));
  };
}

/** Steered ones: each with an interface, and an ADD. */
function pods(count: number): Crowd['fill'] {
  return async (node, lab) => {
    const crowd = await node.plug(await lab.namespace(lab.unique('crowd')), count, own + 1);
    await rateOf(
      node.machine,
      crowd.map((pod) => egress(node, 'ADD', pod)),
      4,
    );
  };
}

function connections(count: number): Crowd['fill'] {
  return async ({ machine, dataDir }) => {
    const file = join(dataDir, 'connections');
    const lines = Array.from(
      { length: count },
      (_, i) => `-I -s 198.18.${place(i & 0xffff)} -d 198.51.100.${i >> 16} -p udp --sport 1000 --dport 53 -t 3600\n`,
    );
    await writeFile(file, lines.join(''));
    await machine.must(['conntrack', '--load-file', file]);
  };
}

function routes(count: number): Crowd['fill'] {
  return async ({ machine }) => {
    await machine.ip(
      ...Array.from({ length: count }, (_, i) => `route add 198.19.${place(i)}/32 via 192.168.0.1 dev eth1`),
    );
  };
}

/** Measures what calls take on nodes that have much of something, beside one that has not. */
export async function measureCrowd(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const nodes: CrowdedNode[] = [];
  for (const crowd of crowds) nodes.push(await crowded(lab, crowd));
  for (let round = 0; round < warmUps + rounds; round++) for (const one of nodes) await runOnce(one, round >= warmUps);
  const counts = new Map<CrowdedNode, readonly number[]>();
  for (const one of nodes) counts.set(one, await countOnce(one));
  for (const { gauge } of nodes) await gauge.end();
  return [timesOf(nodes), countsOf(nodes, counts)];
}

async function crowded(lab: Lab, { name, fill }: Crowd) {
  const node = await BenchNode.create(lab, lab.unique('crowd-node'));
  const [steered, other, present] = await node.plug(await lab.namespace(lab.unique('crowd-pods')), own);
  if (steered === undefined || other === undefined || present === undefined) throw new Error('There are no pods');
  const gauge = new Gauge(node.machine);
  await gauge.usageOf(egress(node, 'ADD', present)); // a node with a steered pod: its chains stay
  await fill(node, lab);
  const calls = callsOf(node, { steered, other });
  return { name, node, steered, gauge, calls, times: calls.map((): number[] => []) };
}

type CrowdedNode = Awaited<ReturnType<typeof crowded>>;

async function runOnce({ node, steered, gauge, calls, times }: CrowdedNode, counts: boolean): Promise<void> {
  for (const [i, { command }] of calls.entries()) {
    const { cpu } = await gauge.usageOf(command);
    if (counts) times[i]?.push(cpu);
  }
  await node.raise([steered]);
}

async function countOnce({ gauge, calls }: CrowdedNode): Promise<readonly number[]> {
  const counted: number[] = [];
  for (const { command } of calls) counted.push(await countCalls(gauge, command));
  return counted;
}

/** Processor time, and its ratios to that of the first. */
const timesOf = ([alone, ...others]: readonly CrowdedNode[]): ResultTable => ({
  name: 'processor',
  title: 'processor time of',
  columns: [
    { name: alone?.name ?? '', unit: 'ms' },
    ...others.map(({ name }) => ({ ...ratioColumn('alone'), name: `${name} : alone` })),
  ],
  rows: (alone?.calls ?? []).map(({ name }, i) => ({
    name,
    cells: [
      spreadOf(alone?.times[i] ?? []),
      ...others.map(({ times }) => ratioOf(times[i] ?? [], alone?.times[i] ?? [])),
    ],
  })),
});

const countsOf = (nodes: readonly CrowdedNode[], counts: ReadonlyMap<CrowdedNode, readonly number[]>): ResultTable => ({
  name: 'system calls',
  title: 'system calls of',
  columns: nodes.map(({ name }) => ({ name, digits: 0 })),
  rows: (nodes[0]?.calls ?? []).map(({ name }, i) => ({
    name,
    cells: nodes.map((one) => counts.get(one)?.[i] ?? null),
  })),
});
