import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { tool } from '../support/tools.ts';
import type { BenchNode, BenchPod } from './node.ts';

/** One way to measure the traffic of a pod: the higher the figure, the better. */
export interface Measure {
  readonly name: string;
  run(node: BenchNode, pod: BenchPod): Promise<number>;
}

/** How long one measurement lasts. */
const seconds = 1;

const hasIperf3 = spawnSync('iperf3', ['--version']).status === 0;

export const measures: readonly Measure[] = [
  ...(hasIperf3 ? [{ name: 'TCP, Gbit/s', run: bulk }] : []),
  { name: 'TCP connections/s', run: async (_, pod) => Number(await traffic(pod, 'connect')) },
  { name: 'UDP, 1000 packets/s', run: packetRate },
];

/** What cannot be measured here, and why. */
export const skipped: readonly string[] = hasIperf3 ? [] : ['TCP, Gbit/s: iperf3 is not installed'];

const program = join(import.meta.dirname, 'traffic.py');

/** Starts what the outside host must run. */
export async function serve({ outside }: BenchNode): Promise<void> {
  await outside.start([tool('python3'), program, 'serve'], 'ready');
  if (hasIperf3) await outside.start([tool('iperf3'), '--server', '--forceflush'], 'listening');
}

const traffic = ({ network }: BenchPod, role: 'connect' | 'send'): Promise<string> =>
  network.must([tool('python3'), program, role, String(seconds)]);

interface IperfReport {
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
  readonly error?: string;
}

async function bulk(_: BenchNode, { network }: BenchPod): Promise<number> {
  const command = [tool('iperf3'), '--client', '203.0.113.9', '--time', String(seconds), '--json'];
  const { end, error } = JSON.parse(await network.must(command)) as IperfReport;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  return end.sum_received.bits_per_second / 1e9;
}

/** Counted where they arrive: a packet that the node drops is not fast. */
async function packetRate(node: BenchNode, pod: BenchPod): Promise<number> {
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
