import { printTable } from '../../src/cli/table.ts';
import { Lab } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import { program, tool } from '../support/tools.ts';
import { serve as serveEcho } from '../support/world.ts';
import { type Measure, measures, serve, skipped } from './measures.ts';
import { BenchNode, type BenchPod, giveAddress, podOf } from './node.ts';
import { egress, fillMap } from './plugins.ts';
import { timeOf } from './process.ts';
import { median, medianRatio, printRatio } from './statistics.ts';

/** How many addresses of other pods are in the map that each packet is looked up in. */
const levels = [0, 10_000];
const rounds = 5;

/** A pod to measure from. */
interface Subject {
  readonly name: string;
  readonly node: BenchNode;
  readonly pod: BenchPod;
  /** The address that the outside host must see, or something else is measured. */
  readonly source: string;
}

/** Measures steered traffic beside masqueraded traffic on the same path. Returns a table. */
export async function measureThroughput(): Promise<string> {
  await using lab = await Lab.create();
  const [own, plain] = [await makeNode(lab, 'own'), await makeNode(lab, 'plain')];
  const steered = await makePod(lab, own, 1);
  const subjects: readonly Subject[] = [
    { name: 'masquerade', node: plain, pod: await makePod(lab, plain, 1), source: '192.168.0.240' },
    { name: 'steered', node: own, pod: steered, source: '192.168.0.245' },
    { name: 'beside steered', node: own, pod: await makePod(lab, own, 2), source: '192.168.0.240' },
  ];
  timeOf(own.machine, egress(own, 'ADD', steered));
  for (const subject of subjects) await requireSource(subject);
  const rows: string[][] = [];
  for (const level of levels) {
    if (level > 0) await fillMap(own, steered, podsElsewhere(steered.network, level));
    for (const measure of measures) rows.push([measure.name, String(level), ...(await compare(subjects, measure))]);
  }
  return [print(subjects, rows), ...skipped.map((reason) => `Skipped: ${reason}\n`)].join('');
}

/** A node that masquerades what leaves the cluster, as the plugins `bridge` and `ptp` do. */
async function makeNode(lab: Lab, name: string): Promise<BenchNode> {
  const node = await BenchNode.create(lab, name);
  const masquerade = 'POSTROUTING -s 10.0.0.0/16 ! -d 10.0.0.0/16 -j MASQUERADE';
  await node.machine.must(['iptables', '-t', 'nat', '-A', ...masquerade.split(' ')]);
  await serveEcho(node.outside);
  await serve(node);
  return node;
}

async function makePod(lab: Lab, node: BenchNode, number: number): Promise<BenchPod> {
  const [pod] = await node.plug(await lab.namespace(lab.unique('pod')), 1, number);
  if (pod === undefined) throw new Error('No pod was plugged in');
  await giveAddress(pod);
  return pod;
}

async function requireSource({ name, pod, source }: Subject): Promise<void> {
  const answer = await pod.network.must([tool('python3'), program('ask.py'), 'tcp', '203.0.113.9', '8080']);
  if (!answer.startsWith(`${source} `)) throw new Error(`${name}: expected ${source} as the source, got ${answer}`);
}

/** Pods of which only the addresses matter. */
const podsElsewhere = (network: Namespace, count: number): readonly BenchPod[] =>
  Array.from({ length: count }, (_, i) => podOf(network, 256 + i));

/** Rounds in which each subject has its turn. Returns medians, and the ratios of all others to the first. */
async function compare(subjects: readonly Subject[], measure: Measure): Promise<readonly string[]> {
  const series = subjects.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { node, pod }] of subjects.entries()) series[i]?.push(await measure.run(node, pod));
  }
  const [base = [], ...others] = series;
  return [
    ...series.map((values) => median(values).toFixed(1)),
    ...others.map((values) => printRatio(medianRatio(values, base))),
  ];
}

function print(subjects: readonly Subject[], rows: readonly (readonly string[])[]): string {
  const names = subjects.map(({ name }) => name);
  const ratios = names.slice(1).map((name) => `${name} : ${names[0]}`);
  return printTable(['', 'other pods', ...names, ...ratios], rows, false);
}
