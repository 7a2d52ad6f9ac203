import { Lab } from '../support/lab.ts';
import { fillTo, makeSubjects, type Subject, type Verb, verbs } from './add-subjects.ts';
import { measureDestinations } from './destinations.ts';
import type { BenchPod } from './node.ts';
import { rateOf, timeOf } from './process.ts';
import { type ResultTable, ratioColumn, ratioOf, spreadOf } from './result.ts';
import { podsOf, roundsOf } from './statistics.ts';

/** How many pods are there already. */
const levels = [...new Set([0, podsOf(250), podsOf(1000)])];
const rounds = roundsOf(30);
/** Not counted: files come into the cache, chains that stay are made. */
const warmUps = 2;
const burst = { pods: podsOf(150), atATime: 16, rounds: roundsOf(2) } as const;
/** Pods that come and go: two subjects of the rounds share a node, and have pods of their own. */
const calls = Math.max(burst.pods, 2 * (warmUps + rounds));

/** What one subject took, in ms, in the order of the rounds. */
interface Times extends Record<Verb, number[]> {
  readonly name: string;
}

/** Measures ADD and DEL of egress beside those of other plugins and beside an empty Node. */
export async function measureAdd(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const { subjects, absent } = await makeSubjects(lab, { present: Math.max(...levels), calls });
  const burstTable = await measureBurst(subjects.filter(({ isForBursts }) => isForBursts));
  const destinationsTable = await measureDestinations(lab);
  const byLevel: Times[][] = [];
  for (const level of levels) {
    for (const subject of subjects) await fillTo(subject, level);
    byLevel.push(await measureLatency(subjects));
  }
  const note =
    absent.length > 0 ? `Not measured, since "npm run setup -- bench" has not built it: ${absent.join('; ')}` : '';
  return [...verbs.map((verb) => latencyTable(verb, byLevel, note)), burstTable, destinationsTable];
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
    for (const subject of subjects) await subject.restore([podOf(subject, round)]);
  }
  return all.map(({ times }) => times);
}

function podOf({ pods }: Subject, round: number): BenchPod {
  const pod = pods[round];
  if (pod === undefined) throw new Error(`There is no pod for round ${round}`);
  return pod;
}

/** One row for each subject; the ratios are to the first. */
function latencyTable(verb: Verb, byLevel: readonly (readonly Times[])[], note: string): ResultTable {
  const [first] = byLevel;
  return {
    name: verb,
    title: verb,
    columns: [
      ...levels.map((level) => ({ name: `${level} pods`, unit: 'ms', shows: ['p50', 'p95'] as const })),
      ...levels.map((level) => ratioColumn(`${first?.[0]?.name}, ${level}`)),
    ],
    rows: (first ?? []).map(({ name }, i) => ({
      name,
      cells: [
        ...byLevel.map((times) => spreadOf(times[i]?.[verb] ?? [])),
        ...byLevel.map((times) => ratioOf(times[i]?.[verb] ?? [], times[0]?.[verb] ?? [])),
      ],
    })),
    ...(note !== '' && { note }),
  };
}

/** Many pods at once, as after a node's start. */
async function measureBurst(subjects: readonly Subject[]): Promise<ResultTable> {
  const all = subjects.map((subject) => ({ subject, rates: { ADD: [] as number[], DEL: [] as number[] } }));
  for (let round = 0; round < burst.rounds; round++) {
    for (const { subject, rates } of all) {
      for (const verb of verbs) {
        const [first, ...others] = subject.pods.slice(0, burst.pods).map((pod) => subject.command(verb, pod));
        // Alone: portmap 1.10.0 fails where two of its first calls make its chain at once.
        if (first) await rateOf(subject.node.machine, [first], 1);
        rates[verb].push(await rateOf(subject.node.machine, others, burst.atATime));
      }
      await subject.restore(subject.pods);
    }
  }
  return {
    name: 'burst',
    title: `${burst.pods} pods, ${burst.atATime} at a time`,
    columns: verbs.map((verb) => ({ name: `${verb}/s`, digits: 0 })),
    rows: all.map(({ subject, rates }) => ({
      name: subject.name,
      cells: verbs.map((verb) => spreadOf(rates[verb])),
    })),
  };
}
