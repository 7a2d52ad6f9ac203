import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lab } from '../support/lab.ts';
import { measures } from './measures.ts';
import { podsElsewhere } from './node.ts';
import { earlierBinary, egress, fillMap } from './plugins.ts';
import { timeOf } from './process.ts';
import type { ResultTable, Row } from './result.ts';
import { exitsAndPolicies, measureSizes, nameOf, sizes, steeredAmong } from './sizes.ts';
import { roundsOf } from './statistics.ts';
import {
  columns,
  compare,
  makeNode,
  makePod,
  masqueradeByNftables,
  type Ratio,
  requireSource,
  type Subject,
} from './subjects.ts';

/** How many addresses of other pods are in the map that each packet is looked up in. */
const levels = [0, 10_000];
const rounds = roundsOf(5);

/** The address of the exit. */
const exitAddress = '192.168.0.245';

/** The others beside the first. */
const ownRatios: readonly Ratio[] = [
  [1, 0],
  [2, 0],
  [3, 0],
];

/** This build beside an earlier one. */
const earlierRatios: readonly Ratio[] = [
  [1, 4],
  [2, 5],
];

/** Measures steered traffic beside masqueraded traffic on the same path. */
export async function measureThroughput(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const [own, plain] = [await makeNode(lab, 'own'), await makeNode(lab, 'plain')];
  const byNftables = await makeNode(lab, 'nftables', masqueradeByNftables);
  const steered = await makePod(lab, own, 1);
  const subjects: Subject[] = [
    { name: 'masquerade', node: plain, pod: await makePod(lab, plain, 1), source: '192.168.0.240' },
    { name: 'steered', node: own, pod: steered, source: exitAddress },
    { name: 'beside steered', node: own, pod: await makePod(lab, own, 2), source: '192.168.0.240' },
    { name: 'nftables', node: byNftables, pod: await makePod(lab, byNftables, 1), source: '192.168.0.240' },
  ];
  timeOf(own.machine, egress(own, 'ADD', steered));
  const earlier = earlierBinary === undefined ? undefined : await earlierSubjects(lab, earlierBinary);
  subjects.push(...(earlier ?? []));
  const ratios = earlier ? [...ownRatios, ...earlierRatios] : ownRatios;
  for (const subject of subjects) await requireSource(subject);
  const rows: Row[] = [];
  for (const level of levels) {
    for (const { node, pod } of level > 0 ? subjects.filter(({ source }) => source === exitAddress) : [])
      await fillMap(node, pod, podsElsewhere(pod.network, level));
    for (const measure of measures)
      rows.push({ name: measure.name, cells: [level, ...(await compare(subjects, measure, rounds, ratios))] });
  }
  const others = { name: 'other pods', digits: 0 };
  const traffic = { name: 'traffic', title: '', columns: [others, ...columns(subjects, ratios)], rows };
  return [traffic, await measureSizes('sizes', await sizedSubjects(lab))];
}

/** The same two pods on a node where another build made the table. */
async function earlierSubjects(lab: Lab, binary: string): Promise<readonly Subject[]> {
  const node = await makeNode(lab, 'earlier');
  const steered = await makePod(lab, node, 1);
  timeOf(node.machine, egress(node, 'ADD', steered, { binary }));
  return [
    { name: 'steered, earlier build', node, pod: steered, source: exitAddress },
    { name: 'beside, earlier build', node, pod: await makePod(lab, node, 2), source: '192.168.0.240' },
  ];
}

/** A node of each size, with a pod that is steered there. */
async function sizedSubjects(lab: Lab): Promise<readonly Subject[]> {
  const subjects: Subject[] = [];
  for (const size of sizes) {
    const node = await makeNode(lab, nameOf(size));
    const exit = { interface: 'eth1', nextHop: '192.168.0.1' };
    const content = exitsAndPolicies(size, { ...exit, addresses: [exitAddress] }, (address) => ({
      ...exit,
      addresses: [address],
    }));
    await node.machine.ip(...content.exits.slice(1).map(({ addresses }) => `address add ${addresses}/32 dev eth1`));
    const file = join(node.dataDir, 'policy.json');
    writeFileSync(file, JSON.stringify({ clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'], ...content }));
    const pod = await steeredAmong(lab, node, file, { size });
    subjects.push({ name: 'steered', node, pod, source: exitAddress });
  }
  return subjects;
}
