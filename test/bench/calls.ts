import { tool } from '../support/tools.ts';
import type { Gauge } from './gauge.ts';
import type { BenchNode, BenchPod } from './node.ts';
import { egress, type Verb } from './plugins.ts';
import type { Command } from './process.ts';

/** A call of a runtime, by the name that tables give it. */
export interface Call {
  readonly name: string;
  readonly command: Command;
}

/** The calls of a pod's life, in an order in which they can be made again and again. */
export function callsOf(
  node: BenchNode,
  { steered, other }: { readonly steered: BenchPod; readonly other: BenchPod },
  binary?: string,
): readonly Call[] {
  const call = (verb: Verb, pod: BenchPod, namespace = 'default') =>
    egress(node, verb, pod, { ...(binary && { binary }), namespace });
  return [
    { name: 'VERSION', command: call('VERSION', steered) },
    { name: 'STATUS', command: call('STATUS', steered) },
    { name: 'ADD of a pod without a policy', command: call('ADD', other, 'other') },
    { name: 'ADD', command: call('ADD', steered) },
    { name: 'CHECK', command: call('CHECK', steered) },
    { name: 'DEL', command: call('DEL', steered) },
  ];
}

/** System calls of a program, all threads of it. strace(1) -c ends with a line for all: `100.00    0.006512           3      2099        67 total`. */
export async function countCalls(gauge: Gauge, { program, args = [], ...rest }: Command): Promise<number> {
  const { output } = await gauge.usageOf({
    ...rest,
    program: tool('strace'),
    args: ['-f', '-c', '-o', '/dev/stderr', program, ...args],
  });
  return Number(/ (\d+)(?: +\d+)? total/.exec(output)?.[1]);
}
