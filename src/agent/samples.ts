import { markOf } from '../base/attachment.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Counters } from '../datapath/host.ts';
import type { Counter } from '../nftables/observed.ts';
import { countsOf } from '../report/status.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { MetricName } from './metric-table.ts';

/** Label → value. */
export type Labels = Readonly<Record<string, string>>;

/** What something that counts shows now. */
export interface Sample {
  readonly metric: MetricName;
  readonly labels: Labels;
  /** What counts, where several of them have the same labels: a pod may have several interfaces. */
  readonly of?: string;
  readonly value: bigint;
  /** A counter that begins anew together with this one, where this one may fall a little without that. */
  readonly beside?: bigint;
}

/** What the kernel counted, as samples of the metrics. */
export const samplesOf = (
  counters: Counters,
  exits: readonly ResolvedExit[],
  records: readonly AttachmentRecord[],
): Sample[] => [
  ...exits.flatMap((exit) => samplesOfExit(exit, counters)),
  ...samplesOfNode(counters),
  ...samplesOfPods(counters, records),
];

type Pair = readonly [packets: MetricName, bytes: MetricName];

const both = ([packets, bytes]: Pair, labels: Labels, counter: Counter | undefined, of?: string): Sample[] =>
  counter === undefined
    ? []
    : [
        { metric: packets, labels, value: counter.packets, ...(of !== undefined && { of }) },
        { metric: bytes, labels, value: counter.bytes, ...(of !== undefined && { of }) },
      ];

function samplesOfExit(exit: ResolvedExit, counters: Counters): Sample[] {
  const labels = { exit: exit.name };
  const { steered, left, tunnelled, dropped } = countsOf(exit, counters);
  return [
    ...both(['exit_steered_packets_total', 'exit_steered_bytes_total'], labels, steered),
    ...both(['exit_left_packets_total', 'exit_left_bytes_total'], labels, left),
    ...both(['exit_tunnelled_packets_total', 'exit_tunnelled_bytes_total'], labels, tunnelled),
    ...both(['exit_served_packets_total', 'exit_served_bytes_total'], labels, counters.served.get(exit.id)),
    ...(dropped && steered
      ? [{ metric: 'exit_dropped_packets_total', labels, value: dropped.packets, beside: steered.packets } as const]
      : []),
  ];
}

const ofDrops: Pair = ['dropped_packets_total', 'dropped_bytes_total'];

const samplesOfNode = ({ dropped, guarded, forged, unserved, strangers, unmarked }: Counters): Sample[] => [
  ...both(ofDrops, { reason: 'policy' }, dropped),
  ...both(ofDrops, { reason: 'guard' }, guarded),
  ...both(ofDrops, { reason: 'forged' }, forged),
  ...both(ofDrops, { reason: 'unserved' }, unserved),
  ...both(ofDrops, { reason: 'stranger' }, strangers),
  ...both(['unmarked_packets_total', 'unmarked_bytes_total'], {}, unmarked),
];

const samplesOfPods = ({ pods }: Counters, records: readonly AttachmentRecord[]): Sample[] =>
  records.flatMap((record) => {
    const mark = markOf(record);
    return both(['pod_packets_total', 'pod_bytes_total'], podLabels(record), pods.get(mark), mark);
  });

/** Names of its own for the two: `namespace` and `pod` are those of the agent, as Prometheus sees it in Kubernetes. */
export const podLabels = ({ pod, containerId }: Pick<AttachmentRecord, 'pod' | 'containerId'>): Labels => ({
  pod_namespace: pod.namespace ?? '',
  pod_name: pod.name ?? containerId,
});

/**
 * The pods that have series of their own: those that had them, as long as they are here, also while the kernel has no
 * counter of theirs, and then the busiest. Returns the labels of each, by {@link keyOfLabels}.
 *
 * @param pods those that are here
 */
export function shownPods(
  samples: readonly Sample[],
  limit: number,
  pods: ReadonlySet<string>,
  before: ReadonlySet<string>,
): ReadonlySet<string> {
  const packets = new Map<string, bigint>([...before].filter((key) => pods.has(key)).map((key) => [key, 0n]));
  for (const { metric, labels, value } of samples) {
    const key = keyOfLabels(labels);
    if (metric === 'pod_packets_total') packets.set(key, (packets.get(key) ?? 0n) + value);
  }
  const isNew = (key: string) => (before.has(key) ? 0 : 1);
  const order = [...packets].sort(([a, inA], [b, inB]) => isNew(a) - isNew(b) || (inA < inB ? 1 : inA > inB ? -1 : 0));
  return new Set(order.slice(0, limit).map(([key]) => key));
}

/** A text that tells labels of one metric from others. */
export const keyOfLabels = (labels: Labels): string => JSON.stringify(Object.entries(labels));
