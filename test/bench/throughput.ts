import { join } from 'node:path';
import { printTable } from '../../src/cli/table.ts';
import { Lab } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import { tool } from '../support/tools.ts';
import { BenchNode, type BenchPod, giveAddress, podOf } from './node.ts';
import { egress, fillMap } from './plugins.ts';
import { timeOf } from './process.ts';
import { median, medianRatio, printRatio } from './statistics.ts';

/** How many addresses of other pods are in the map that each packet is looked up in. */
const levels = [0, 10_000];
const rounds = 5;
/** Of one measurement. */
const seconds = 2;
const destination = '203.0.113.9';

/** A pod to measure from. */
interface Subject {
  readonly name: string;
  readonly node: BenchNode;
  readonly pod: BenchPod;
}

/** What is measured: a higher figure is better. */
interface Measure {
  readonly name: string;
  run(subject: Subject): Promise<number>;
}

const measures: readonly Measure[] = [
  { name: 'TCP, Gbit/s', run: bulk },
  { name: 'UDP, 1000 packets/s', run: packetRate },
  { name: 'TCP connections/s', run: async ({ pod }) => Number(await traffic(pod, 'connect')) },
];

async function bulk({ pod }: Subject): Promise<number> {
  const command = [tool('iperf3'), '--client', destination, '--time', String(seconds), '--json'];
  const { end, error } = JSON.parse(await pod.network.must(command)) as IperfReport;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  return end.sum_received.bits_per_second / 1e9;
}

interface IperfReport {
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
  readonly error?: string;
}

/** Counted where they arrive: what the node drops is not fast. */
async function packetRate({ node, pod }: Subject): Promise<number> {
  const before = await received(node);
  const elapsed = Number(await traffic(pod, 'send'));
  return ((await received(node)) - before) / elapsed / 1e3;
}

async function received({ outside }: BenchNode): Promise<number> {
  const [link] = JSON.parse(await outside.must(['ip', '-json', '-stats', 'link', 'show', 'dev', 'eth0'])) as [Link];
  return link.stats64.rx.packets;
}

interface Link {
  readonly stats64: { readonly rx: { readonly packets: number } };
}

const program = join(import.meta.dirname, 'traffic.py');

const traffic = ({ network }: BenchPod, role: 'connect' | 'send'): Promise<string> =>
  network.must([tool('python3'), program, role, String(seconds)]);

/** Measures steered traffic beside masqueraded traffic on the same path. Returns a table. */
export async function measureThroughput(): Promise<string> {
  await using lab = await Lab.create();
  const [own, plain] = [await makeNode(lab, 'own'), await makeNode(lab, 'plain')];
  const steered = await makePod(lab, own, 1);
  const subjects: readonly Subject[] = [
    { name: 'masquerade', node: plain, pod: await makePod(lab, plain, 1) },
    { name: 'steered', node: own, pod: steered },
    { name: 'beside', node: own, pod: await makePod(lab, own, 2) },
  ];
  timeOf(own.machine, egress(own, 'ADD', steered));
  const rows: string[][] = [];
  for (const level of levels) {
    if (level > 0) await fillMap(own, steered, podsElsewhere(steered.network, level));
    for (const measure of measures) rows.push([measure.name, String(level), ...(await compare(subjects, measure))]);
  }
  const others = subjects.slice(1).map(({ name }) => `${name} : masquerade`);
  return printTable(['', 'other pods', ...subjects.map(({ name }) => name), ...others], rows, false);
}

/** A node that masquerades what leaves the cluster, as the plugins `bridge` and `ptp` do. */
async function makeNode(lab: Lab, name: string): Promise<BenchNode> {
  const node = await BenchNode.create(lab, name);
  const masquerade = 'POSTROUTING -s 10.0.0.0/16 ! -d 10.0.0.0/16 -j MASQUERADE';
  await node.machine.must(['iptables', '-t', 'nat', '-A', ...masquerade.split(' ')]);
  await node.outside.start([tool('iperf3'), '--server', '--forceflush'], 'listening');
  await node.outside.start([tool('python3'), program, 'serve'], 'ready');
  return node;
}

async function makePod(lab: Lab, node: BenchNode, number: number): Promise<BenchPod> {
  const [pod] = await node.plug(await lab.namespace(lab.unique('pod')), 1, number);
  if (pod === undefined) throw new Error('No pod was plugged in');
  await giveAddress(pod);
  return pod;
}

/** Pods of which only the addresses matter. */
const podsElsewhere = (network: Namespace, count: number): readonly BenchPod[] =>
  Array.from({ length: count }, (_, i) => podOf(network, 256 + i));

/** Rounds in which each subject has its turn. Returns medians, and the ratios of all others to the first. */
async function compare(subjects: readonly Subject[], measure: Measure): Promise<readonly string[]> {
  const series = subjects.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, subject] of subjects.entries()) series[i]?.push(await measure.run(subject));
  }
  const [base = [], ...others] = series;
  return [
    ...series.map((values) => median(values).toFixed(1)),
    ...others.map((values) => printRatio(medianRatio(values, base))),
  ];
}
