import type { Lab } from '../support/lab.ts';
import { egressBinary } from '../support/tools.ts';
import { measures } from './measures.ts';
import { type BenchNode, type BenchPod, podsElsewhere } from './node.ts';
import { egressByFile, fillMap } from './plugins.ts';
import { timeOf } from './process.ts';
import { type Column, type ResultTable, type Row, ratioColumn, ratioOf, spreadOf } from './result.ts';
import { roundsOf } from './statistics.ts';
import { makePod, requireSource, type Subject } from './subjects.ts';

/** How much of what a node may have many of. */
export interface Size {
  /** Beside the first, which the pod sends by, another pod of the node has policies for each. */
  readonly exits: number;
  /** Ranges in the pod's policy of the exit that it sends by. */
  readonly destinations: number;
  /** Other pods in the maps that packets are looked up in. */
  readonly pods: number;
}

/** Of a node with nothing else. */
export const leastSize: Size = { exits: 1, destinations: 1, pods: 0 };

/** The first is what the others are compared with. */
export const sizes: readonly Size[] = [
  leastSize,
  { ...leastSize, exits: 16 },
  { ...leastSize, exits: 64 },
  { ...leastSize, destinations: 10_000 },
  { ...leastSize, pods: 10_000 },
];

const rounds = roundsOf(5);

/** Where the traffic of the measures goes. */
const measured = '203.0.113.0/24';

/** The Kubernetes namespace of the pod that has all other exits. */
const others = 'others';

/** Sets up a pod that is steered by the first exit, and one with all other exits; see {@link exitsAndPolicies}. */
export async function steeredAmong(
  lab: Lab,
  node: BenchNode,
  file: string,
  {
    size: { exits } = leastSize,
    binary = egressBinary,
  }: { readonly size?: Size | undefined; readonly binary?: string },
): Promise<BenchPod> {
  const pod = await makePod(lab, node, 1);
  timeOf(node.machine, egressByFile(node, 'ADD', pod, file, { binary }));
  if (exits > 1) {
    const other = await makePod(lab, node, 2);
    timeOf(node.machine, egressByFile(node, 'ADD', other, file, { namespace: others, binary }));
  }
  return pod;
}

/** Exits beside the first have an address each, and their policies a destination that nobody sends to. */
export function exitsAndPolicies<Exit extends object>(
  { exits, destinations }: Size,
  first: Exit,
  another: (address: string) => Exit,
) {
  const names = ['partners', ...Array.from({ length: exits - 1 }, (_, i) => `partners-${i + 2}`)];
  const range = (i: number) => (i === 0 ? measured : `198.18.${i >> 7}.${2 * (i & 127)}/32`);
  const ranges = [
    Array.from({ length: destinations }, (_, i) => range(i)),
    ...names.slice(1).map((_, i) => [`198.51.100.${i}/32`]),
  ];
  return {
    exits: names.map((name, i) => ({ name, ...(i === 0 ? first : another(`192.168.2.${i}`)) })),
    policies: names.map((exit, i) => ({
      name: `bench-${i}`,
      namespaces: [i === 0 ? 'default' : others],
      destinations: ranges[i],
      exit,
    })),
  };
}

/** The name of the node that is of a size. */
export const nameOf = ({ exits, destinations, pods }: Size): string => `e${exits}-d${destinations}-p${pods}`;

const counts = ['exits', 'destinations', 'other pods'].map((name): Column => ({ name, digits: 0 }));

/**
 * Whether packets cost the same on a node that has much: the same pod's traffic in turns on nodes of all sizes. `steered`
 * are subjects in the order of {@link sizes}, on nodes that have the maps of pods.
 */
export async function measureSizes(
  name: string,
  steered: readonly (Subject & { readonly worker?: BenchNode })[],
): Promise<ResultTable> {
  for (const [i, subject] of steered.entries()) {
    const pods = sizes[i]?.pods ?? 0;
    if (pods > 0) await fillMap(subject.worker ?? subject.node, subject.pod, podsElsewhere(subject.pod.network, pods));
    await requireSource(subject);
  }
  const rows: Row[] = [];
  for (const measure of measures) {
    const series = steered.map((): number[] => []);
    for (let round = 0; round < rounds; round++)
      for (const [i, { node, pod }] of steered.entries()) series[i]?.push(await measure.run(node, pod));
    for (const [i, { exits, destinations, pods }] of sizes.entries()) {
      const [own = [], first = []] = [series[i], series[0]];
      rows.push({ name: measure.name, cells: [exits, destinations, pods, spreadOf(own), ratioOf(own, first)] });
    }
  }
  return { name, title: '', columns: [...counts, { name: 'steered' }, ratioColumn('1 exit, 1 destination')], rows };
}
