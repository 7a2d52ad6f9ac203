import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Lab } from '../support/lab.ts';
import { BenchNode, type BenchPod } from './node.ts';
import { egressByFile } from './plugins.ts';
import { timeOf } from './process.ts';
import { type ResultTable, ratioColumn, ratioOf, significant, spreadOf } from './result.ts';
import { roundsOf } from './statistics.ts';

const counts = [10, 10_000] as const;
const rounds = roundsOf(30);
/** Only a policy file that did not change within the last two seconds is remembered. */
const settledMs = 2500;

/** A node whose pods have a policy of so many destinations. */
interface Subject {
  readonly count: number;
  readonly node: BenchNode;
  readonly pods: readonly BenchPod[];
  readonly policyFile: string;
}

/** Measures ADD by the number of destinations: of the first pod, and of more that have the same program. */
export async function measureDestinations(lab: Lab): Promise<ResultTable> {
  const subjects: Subject[] = [];
  for (const count of counts) subjects.push(await makeSubject(lab, count));
  await setTimeout(settledMs);
  const times = subjects.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, { node, pods, policyFile }] of subjects.entries()) {
      const [pod] = pods.slice(round);
      if (pod !== undefined) times[i]?.push(timeOf(node.machine, egressByFile(node, 'ADD', pod, policyFile)));
    }
  }
  return tableOf(subjects, times);
}

async function makeSubject(lab: Lab, count: number): Promise<Subject> {
  const node = await BenchNode.create(lab, `destinations${count}`);
  const pods = await node.plug(await lab.namespace(`destinations${count}-pods`), rounds + 1);
  const policyFile = join(lab.folder, `policy-${count}.json`);
  writeFileSync(policyFile, JSON.stringify(policyOf(count)));
  return { count, node, pods, policyFile };
}

/** Destinations of both families, none beside another. */
const policyOf = (count: number) => ({
  clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'],
  exits: [{ name: 'partners', interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] }],
  policies: [
    {
      name: 'bench',
      namespaces: ['default'],
      destinations: Array.from({ length: count }, (_, i) =>
        i % 2 === 0 ? `198.18.${i >> 8}.${i & 255}` : `2001:db8:${i.toString(16)}::/48`,
      ),
      exit: 'partners',
    },
  ],
});

function tableOf(subjects: readonly Subject[], times: readonly (readonly number[])[]): ResultTable {
  const more = times.map(([, ...rest]) => rest);
  return {
    name: 'destinations',
    title: 'destinations',
    columns: [
      { name: 'first ADD', unit: 'ms' },
      { name: 'later ADD', unit: 'ms', shows: ['p50', 'p95'] },
      ratioColumn(`${counts[0]} destinations`),
    ],
    rows: subjects.map(({ count }, i) => ({
      name: String(count),
      cells: [significant(times[i]?.[0] ?? Number.NaN), spreadOf(more[i] ?? []), ratioOf(more[i] ?? [], more[0] ?? [])],
    })),
  };
}
