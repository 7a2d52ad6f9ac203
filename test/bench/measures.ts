import { join } from 'node:path';
import { tool } from '../support/tools.ts';
import type { BenchNode, BenchPod } from './node.ts';
import { secondsOf } from './statistics.ts';

/** One way to measure the traffic of a pod: the higher the figure, the better. */
export interface Measure {
  readonly name: string;
  run(node: BenchNode, pod: BenchPod): Promise<number>;
}

/** How long one measurement lasts. */
const seconds = secondsOf(1);

export const measures: readonly Measure[] = [
  { name: 'TCP, Gbit/s', run: async (_, pod) => (Number(await traffic(pod, 'bulk')) * 8) / 1e9 },
  { name: 'TCP connections/s', run: async (_, pod) => Number(await traffic(pod, 'connect')) },
  { name: 'UDP, 1000 packets/s', run: packetRate },
];

const program = join(import.meta.dirname, 'traffic.py');

/** Starts what the outside host must run. */
export async function serve({ outside }: BenchNode): Promise<void> {
  await outside.start([tool('python3'), program, 'serve'], 'ready');
}

const traffic = ({ network }: BenchPod, role: 'bulk' | 'connect' | 'send'): Promise<string> =>
  network.must([tool('python3'), program, role, String(seconds)]);

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
