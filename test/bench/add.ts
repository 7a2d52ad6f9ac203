import { printTable } from '../../src/cli/table.ts';
import { Lab } from '../support/lab.ts';
import { measureDestinations } from './destinations.ts';
import { BenchNode, type BenchPod } from './node.ts';
import { earlierBinary, egress, fillPortmap, portmap } from './plugins.ts';
import { type Command, rateOf, timeOf } from './process.ts';
import { median, medianRatio, printMs, printRatio } from './statistics.ts';

/** How many pods are there already. */
const levels = [0, 250, 1000];
const rounds = 30;
/** Not counted: files come into the cache, chains that stay are made. */
const warmUps = 2;
const burst = { pods: 150, atATime: 16, rounds: 2 } as const;
const verbs = ['ADD', 'DEL'] as const;

type Verb = (typeof verbs)[number];

/** What is measured, each on a node of its own. */
interface Subject {
  readonly name: string;
  readonly node: BenchNode;
  /** Pods for the calls; they come and go, the present ones are others. */
  readonly pods: readonly BenchPod[];
  readonly present: readonly BenchPod[];
  command(verb: Verb, pod: BenchPod): Command;
  /** Gives pods what ADD gives them; for portmap as copies of a pod that had one. */
  fill(model: BenchPod, pods: readonly BenchPod[]): Promise<void>;
}

/** What one subject took, in ms, in the order of the rounds. */
interface Times extends Record<Verb, number[]> {
  readonly name: string;
}

/** Measures ADD and DEL of egress beside those of portmap and beside an empty Node. Returns tables. */
export async function measureAdd(): Promise<string> {
  await using lab = await Lab.create();
  const [own, theirs] = [await makeNode(lab, 'own'), await makeNode(lab, 'theirs')];
  const earlier = earlierBinary === undefined ? [] : [egressOn(await makeNode(lab, 'earlier'), earlierBinary)];
  const plugins = [portmapOn(theirs), egressOn(own), ...earlier];
  const burstTable = await measureBurst(plugins);
  const destinationsTable = await measureDestinations(lab);
  const byLevel: Times[][] = [];
  for (const level of levels) {
    for (const plugin of plugins) await fillTo(plugin, level);
    byLevel.push(await measureLatency([...plugins, passThroughOn(own), emptyNodeOn(own)]));
  }
  return [...verbs.map((verb) => printLatency(verb, byLevel)), burstTable, destinationsTable].join('\n');
}

type Place = Pick<Subject, 'node' | 'pods' | 'present'>;

async function makeNode(lab: Lab, name: string): Promise<Place> {
  const [node, network] = [await BenchNode.create(lab, name), await lab.namespace(`${name}-pods`)];
  const present = await node.plug(network, Math.max(...levels));
  return { node, present, pods: await node.plug(network, burst.pods, present.length + 1) };
}

const portmapOn = (place: Place): Subject => ({
  ...place,
  name: 'portmap',
  command: portmap,
  fill: (model, pods) => fillPortmap(place.node, model, pods),
});

const egressOn = (place: Place, binary?: string): Subject => ({
  ...place,
  name: binary === undefined ? 'egress' : 'egress, earlier build',
  command: (verb, pod) => egress(place.node, verb, pod, { ...(binary && { binary }) }),
  fill: async (_, pods) => {
    await rateOf(
      place.node.machine,
      pods.map((pod) => egress(place.node, 'ADD', pod, { ...(binary && { binary }) })),
      2,
    );
  },
});

const nothing = async () => {};

const passThroughOn = (place: Place): Subject => ({
  ...place,
  pods: place.pods.slice(warmUps + rounds),
  name: 'egress, pod without a policy',
  command: (verb, pod) => egress(place.node, verb, pod, { namespace: 'other' }),
  fill: nothing,
});

const emptyNodeOn = (place: Place): Subject => ({
  ...place,
  name: 'empty Node',
  command: () => ({ program: process.execPath, args: ['-e', '0'] }),
  fill: nothing,
});

const filled = new WeakMap<Subject, number>();

/** Fills a node up to a number of present pods. The first of them gets a real ADD. */
async function fillTo(subject: Subject, level: number): Promise<void> {
  const { node, present, command, fill } = subject;
  const [model] = present;
  const before = filled.get(subject) ?? 0;
  if (model === undefined || level === 0) return;
  if (before === 0) timeOf(node.machine, command('ADD', model));
  await fill(model, present.slice(Math.max(before, 1), level));
  filled.set(subject, level);
}

/** Rounds in which each subject has its turn, so that what disturbs this machine disturbs all. */
async function measureLatency(subjects: readonly Subject[]): Promise<Times[]> {
  const all = subjects.map((subject) => ({ subject, times: { name: subject.name, ADD: [], DEL: [] } as Times }));
  for (let round = 0; round < warmUps + rounds; round++) {
    for (const verb of verbs) {
      for (const { subject, times } of all) {
        const ms = timeOf(subject.node.machine, subject.command(verb, podOf(subject, round)));
        if (round >= warmUps) times[verb].push(ms);
      }
    }
    for (const subject of subjects) await subject.node.raise([podOf(subject, round)]);
  }
  return all.map(({ times }) => times);
}

function podOf({ pods }: Subject, round: number): BenchPod {
  const pod = pods[round];
  if (pod === undefined) throw new Error(`There is no pod for round ${round}`);
  return pod;
}

/** One row for each subject; the ratios are to the first, which is portmap. */
function printLatency(verb: Verb, byLevel: readonly (readonly Times[])[]): string {
  const names = (byLevel[0] ?? []).map(({ name }) => name);
  const rows = names.map((name, i) => [
    name,
    ...byLevel.map((times) => printMs(times[i]?.[verb] ?? [])),
    ...byLevel.map((times) => printRatio(medianRatio(times[i]?.[verb] ?? [], times[0]?.[verb] ?? []))),
  ]);
  const ratios = levels.map((level) => `: ${names[0]}, ${level}`);
  return printTable([`${verb}, ms: p50 / p95`, ...levels.map((level) => `${level} pods`), ...ratios], rows, false);
}

/** Many pods at once, as after a node's start. */
async function measureBurst(subjects: readonly Subject[]): Promise<string> {
  const all = subjects.map((subject) => ({ subject, rates: { ADD: [] as number[], DEL: [] as number[] } }));
  for (let round = 0; round < burst.rounds; round++) {
    for (const { subject, rates } of all) {
      for (const verb of verbs) {
        const commands = subject.pods.map((pod) => subject.command(verb, pod));
        rates[verb].push(await rateOf(subject.node.machine, commands, burst.atATime));
      }
      await subject.node.raise(subject.pods);
    }
  }
  const rows = all.map(({ subject, rates }) => [subject.name, ...verbs.map((verb) => median(rates[verb]).toFixed(0))]);
  return printTable(
    [`${burst.pods} pods, ${burst.atATime} at a time`, ...verbs.map((verb) => `${verb}/s`)],
    rows,
    false,
  );
}
