import { markOf } from '../base/attachment.ts';
import type { Machine } from '../cni/machine.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Counters, Host } from '../datapath/host.ts';
import type { Counter } from '../nftables/observed.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { printTable } from './table.ts';

/** What `egress status` tells, for people and with `--json` for programs. */
export interface Status {
  readonly exits: readonly ExitStatus[];
  readonly pods: readonly PodStatus[];
  /** Packets for the exit `drop`, or of a family that their exit lacks. */
  readonly dropped: Counter;
  /** Packets that the guard kept from leaving by a wrong interface or with a wrong address. */
  readonly guarded: Counter;
}

interface ExitStatus {
  readonly name: string;
  readonly id: number;
  readonly device: string;
  readonly ways: readonly (ResolvedExit['ways'][number] & { readonly neighbour?: string })[];
  /** Packets that were sent to the exit, and how many of them left by it. The others were dropped. */
  readonly steered: Counter;
  readonly left: Counter;
  readonly dropped: { readonly packets: bigint };
}

interface PodStatus extends Pick<AttachmentRecord, 'network' | 'containerId' | 'ifname' | 'pod' | 'addresses'> {
  readonly exits: readonly string[];
  readonly packets: bigint;
}

const none: Counter = { packets: 0n, bytes: 0n };

/** What is set up on this node, and what went through it. */
export async function readStatus({ host, store }: Machine): Promise<Status> {
  const counters = (await host.hasTable()) ? await host.readCounters() : undefined;
  const exits: ExitStatus[] = [];
  for (const exit of store.loadNode()?.exits ?? []) exits.push(await exitStatus(host, exit, counters));
  return {
    exits,
    pods: store
      .list()
      .map((record) => podStatus(record, counters))
      .sort(byName),
    dropped: counters?.dropped ?? none,
    guarded: counters?.guarded ?? none,
  };
}

async function exitStatus(
  host: Host,
  { name, id, device, ways }: ResolvedExit,
  counters?: Counters,
): Promise<ExitStatus> {
  const [steered, left] = [counters?.steered.get(id) ?? none, counters?.left.get(id) ?? none];
  const known: ExitStatus['ways'][number][] = [];
  for (const way of ways) {
    const neighbour = way.via && (await host.readNeighbour(device, way.via));
    known.push({ ...way, ...(neighbour && { neighbour }) });
  }
  const dropped = steered.packets > left.packets ? steered.packets - left.packets : 0n;
  return { name, id, device, ways: known, steered, left, dropped: { packets: dropped } };
}

function podStatus(record: AttachmentRecord, counters?: Counters): PodStatus {
  const { network, containerId, ifname, pod, addresses, matches } = record;
  return {
    ...{ network, containerId, ifname, pod, addresses },
    exits: [...new Set(matches.map(({ exit }) => exit))],
    packets: counters?.pods.get(markOf(record))?.packets ?? 0n,
  };
}

const nameOf = ({ pod: { namespace = '', name }, containerId }: PodStatus) =>
  name === undefined ? containerId.slice(0, 13) : `${namespace}/${name}`;

const byName = (a: PodStatus, b: PodStatus): number => (nameOf(a) < nameOf(b) ? -1 : 1);

/** The status as tables. */
export function printStatus({ exits, pods, dropped, guarded }: Status, colors: boolean): string {
  if (pods.length === 0) return 'No pod on this node has an egress policy.\n';
  const exitRows = exits.map((exit) => [
    exit.name,
    String(exit.id),
    exit.device,
    exit.ways.map(({ address }) => address).join(', '),
    exit.ways.map(({ via = 'on link', neighbour }) => (neighbour ? `${via} (${neighbour})` : via)).join(', '),
    String(exit.steered.packets),
    String(exit.left.packets),
    String(exit.dropped.packets),
  ]);
  const podRows = pods.map((status) => [
    nameOf(status),
    status.addresses.join(', '),
    status.exits.join(', '),
    String(status.packets),
  ]);
  return [
    printTable(['EXIT', 'ID', 'INTERFACE', 'ADDRESS', 'NEXT HOP', 'STEERED', 'LEFT', 'DROPPED'], exitRows, colors),
    printTable(['POD', 'ADDRESS', 'EXITS', 'PACKETS'], podRows, colors),
    `Dropped by policy: ${dropped.packets} packets. Kept from leaving wrongly: ${guarded.packets} packets.\n`,
  ].join('\n');
}
