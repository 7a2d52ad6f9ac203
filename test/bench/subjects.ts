import type { Lab } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import { program, tool } from '../support/tools.ts';
import { serve as serveEcho } from '../support/world.ts';
import { type Measure, serve } from './measures.ts';
import { BenchNode, type BenchPod, giveAddress } from './node.ts';
import { type Cell, type Column, ratioColumn, ratioOf, spreadOf } from './result.ts';

/** A pod to measure from. */
export interface Subject {
  readonly name: string;
  /** The node whose outside host the pod sends to. */
  readonly node: BenchNode;
  readonly pod: BenchPod;
  /** The address that the outside host must see, or something else is measured. */
  readonly source: string;
}

/** Two subjects of a list, by their places in it: the first is divided by the second. */
export type Ratio = readonly [number, number];

/** A node that masquerades what leaves the cluster, as the plugins `bridge` and `ptp` do, with an outside host. */
export async function makeNode(lab: Lab, name: string, by = masquerade): Promise<BenchNode> {
  const node = await BenchNode.create(lab, name);
  await by(node.machine);
  await serveEcho(node.outside);
  await serve(node);
  return node;
}

/** Makes a machine masquerade what leaves the cluster; `except` narrows that. */
export async function masquerade(machine: Namespace, except = ''): Promise<void> {
  const rule = `POSTROUTING -s 10.0.0.0/16 ! -d 10.0.0.0/16 ${except} -j MASQUERADE`;
  await machine.must(['iptables', '-t', 'nat', '-A', ...rule.split(' ').filter(Boolean)]);
}

/** The same by nftables, with the rules of the plugins when they are told `ipMasqBackend: nftables`. */
export async function masqueradeByNftables(machine: Namespace): Promise<void> {
  const rule = 'ip saddr 10.0.0.0/16 ip daddr != 10.0.0.0/16 masquerade';
  const stdin = `table inet by-nftables {
  chain checks { ${rule} comment "bench"; }
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip daddr 224.0.0.0/4 return
    ip6 daddr ff00::/8 return
    goto checks
  }
}
`;
  await machine.must(['nft', '-f', '-'], { stdin });
}

/** A pod on a node, in a namespace of its own. */
export async function makePod(lab: Lab, node: BenchNode, number: number): Promise<BenchPod> {
  const [pod] = await node.plug(await lab.namespace(lab.unique('pod')), 1, number);
  if (pod === undefined) throw new Error('No pod was plugged in');
  await giveAddress(pod);
  return pod;
}

/** Fails unless the pod's packets go the way that is to be measured. */
export async function requireSource({ name, pod, source }: Subject): Promise<void> {
  const answer = await pod.network.must([tool('python3'), program('ask.py'), 'tcp', '203.0.113.9', '8080']);
  if (!answer.startsWith(`${source} `)) throw new Error(`${name}: expected ${source} as the source, got ${answer}`);
}

/** Rounds in which each subject has its turn. Returns what each gave, and then the ratios. */
export async function compare(
  subjects: readonly Subject[],
  measure: Measure,
  rounds: number,
  ratios: readonly Ratio[],
): Promise<readonly Cell[]> {
  const series = subjects.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { node, pod }] of subjects.entries()) series[i]?.push(await measure.run(node, pod));
  }
  return [...series.map(spreadOf), ...ratios.map(([of, to]) => ratioOf(series[of] ?? [], series[to] ?? []))];
}

/** The heads of the columns that {@link compare} gives. */
export function columns(subjects: readonly Subject[], ratios: readonly Ratio[]): readonly Column[] {
  const names = subjects.map(({ name }) => name);
  return [
    ...names.map((name) => ({ name })),
    ...ratios.map(([of, to]) => ({ ...ratioColumn(''), name: `${names[of]} : ${names[to]}` })),
  ];
}
