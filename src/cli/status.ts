import type { Address } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import type { Machine } from '../cni/machine.ts';
import { exitProblems } from '../cni/repair.ts';
import type { Tunnel } from '../datapath/attachment.ts';
import { describe } from '../datapath/describe.ts';
import type { ResolvedExit, Way } from '../datapath/exit.ts';
import type { Counters, Host } from '../datapath/host.ts';
import type { Counter } from '../nftables/observed.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { podName } from './asked-pod.ts';
import { whyNotHere } from './held.ts';
import { nothingSaid, outdatedLines, type WhyOutdated } from './outdated.ts';
import { printTable } from './table.ts';

/** What `egress status` tells, for people and with `--json` for programs. */
export interface Status {
  readonly exits: readonly ExitStatus[];
  readonly pods: readonly PodStatus[];
  /** Packets for the exit `drop`, or of a family that their exit lacks. */
  readonly dropped: Counter;
  /** Packets that the guard kept from leaving by a wrong interface or with a wrong address. */
  readonly guarded: Counter;
  /** Packets that somebody took our mark from: put right, or dropped when they came out of the tunnel. */
  readonly unmarked: Counter;
  /** Present while this node is an end of the tunnel. */
  readonly tunnel?: TunnelStatus;
}

interface TunnelStatus extends Pick<Tunnel, 'vni' | 'port' | 'local' | 'mtu'> {
  /** Packets that came out of the tunnel for an exit that is not served here. */
  readonly unserved: Counter;
  /** Packets for the tunnel's port that no node had sent. */
  readonly strangers: Counter;
}

interface ExitStatus {
  readonly name: string;
  readonly id: number;
  readonly device: string;
  /** Where packets leave, when not from here. */
  readonly gateway?: Address;
  /** Packets of others, when this node is their gateway. They are among those that were steered. */
  readonly served?: Counter;
  readonly ways: readonly (ResolvedExit['ways'][number] & {
    readonly neighbour?: string;
    /** Addresses with which nothing leaves now, because they are not on an interface where they may be. */
    readonly notHere?: readonly Address[];
  })[];
  /** Packets that were sent to the exit, and how many of them left by it. The others were dropped. */
  readonly steered: Counter;
  readonly left: Counter;
  readonly dropped: { readonly packets: bigint };
  /** What of it is missing or different, so that its pods may be cut off; absent when nothing is. */
  readonly problems?: readonly string[];
}

interface PodStatus
  extends Pick<AttachmentRecord, 'network' | 'containerId' | 'ifname' | 'pod' | 'addresses' | 'ports'> {
  readonly exits: readonly string[];
  readonly packets: bigint;
  /** Why a new pod like it would be given something else than it has. */
  readonly outdated?: string;
}

const none: Counter = { packets: 0n, bytes: 0n };

/** What is set up on this node, and what went through it. */
export async function readStatus(machine: Machine, whyOutdated: WhyOutdated = nothingSaid): Promise<Status> {
  const { host, store } = machine;
  const counters = (await host.hasTable()) ? await host.readCounters() : undefined;
  const node = store.loadNode();
  const served = new Set(node?.gateway?.served);
  const exits: ExitStatus[] = [];
  const problems = node && (await exitProblems(machine, node));
  for (const exit of node?.exits ?? []) {
    const wrong = problems?.get(exit.name)?.flatMap(describe);
    exits.push({ ...(await exitStatus(host, exit, served.has(exit.id), counters)), ...(wrong && { problems: wrong }) });
  }
  const pods: PodStatus[] = [];
  for (const record of store.list()) {
    const outdated = await whyOutdated(record);
    pods.push({ ...podStatus(record, counters), ...(outdated && { outdated }) });
  }
  return {
    exits,
    pods: pods.sort(byName),
    dropped: counters?.dropped ?? none,
    guarded: counters?.guarded ?? none,
    unmarked: counters?.unmarked ?? none,
    ...(node?.tunnel && { tunnel: tunnelStatus(node.tunnel, counters) }),
  };
}

const tunnelStatus = ({ vni, port, local, mtu }: Tunnel, counters?: Counters): TunnelStatus => ({
  ...{ vni, port, local, mtu },
  unserved: counters?.unserved ?? none,
  strangers: counters?.strangers ?? none,
});

async function exitStatus(host: Host, exit: ResolvedExit, isServed: boolean, counters?: Counters): Promise<ExitStatus> {
  const { name, id, device, ways, gateway } = exit;
  const [steered, left] = [counters?.steered.get(id) ?? none, counters?.left.get(id) ?? none];
  const known: ExitStatus['ways'][number][] = [];
  for (const way of ways) {
    const neighbour = way.via && (await host.readNeighbour(device, way.via));
    const notHere = await addressesNotHere(host, exit, way);
    known.push({ ...way, ...(neighbour && { neighbour }), ...(notHere.length > 0 && { notHere }) });
  }
  const dropped = steered.packets > left.packets ? steered.packets - left.packets : 0n;
  return {
    ...{ name, id, device },
    ...(gateway && { gateway }),
    ...(isServed && { served: counters?.served.get(id) ?? none }),
    ...{ ways: known, steered, left },
    dropped: { packets: dropped },
  };
}

async function addressesNotHere(host: Host, exit: ResolvedExit, { addresses }: Way): Promise<Address[]> {
  const notHere: Address[] = [];
  if (exit.gateway !== undefined) return notHere;
  for (const address of addresses) if (await whyNotHere(host, exit, address)) notHere.push(address);
  return notHere;
}

function podStatus(record: AttachmentRecord, counters?: Counters): PodStatus {
  const { network, containerId, ifname, pod, addresses, outline, ports } = record;
  return {
    ...{ network, containerId, ifname, pod, addresses },
    exits: [...new Set(outline.map(({ exit }) => exit))],
    ...(ports && { ports }),
    packets: counters?.pods.get(markOf(record))?.packets ?? 0n,
  };
}

const byName = (a: PodStatus, b: PodStatus): number => (podName(a) < podName(b) ? -1 : 1);

/** The status as tables. */
export function printStatus({ exits, pods, dropped, guarded, unmarked, tunnel }: Status, colors: boolean): string {
  if (exits.length + pods.length === 0) return 'No pod on this node has an egress policy.\n';
  const exitRows = exits.map((exit) => [
    exit.name,
    String(exit.id),
    exit.device,
    exit.ways.flatMap(addressTexts).join(', '),
    nextHops(exit),
    exit.served === undefined ? '' : String(exit.served.packets),
    String(exit.steered.packets),
    String(exit.left.packets),
    String(exit.dropped.packets),
  ]);
  const havePorts = pods.some(({ ports }) => ports !== undefined);
  const podRows = pods.map((status) => [
    podName(status),
    status.addresses.join(', '),
    status.exits.join(', '),
    ...(havePorts ? [portsText(status)] : []),
    String(status.packets),
  ]);
  const podHead = ['POD', 'ADDRESS', 'EXITS', ...(havePorts ? ['PORTS'] : []), 'PACKETS'];
  const exitHead = ['EXIT', 'ID', 'INTERFACE', 'ADDRESS', 'NEXT HOP', 'SERVED', 'STEERED', 'LEFT', 'DROPPED'];
  return [
    printTable(exitHead, exitRows, colors),
    ...(pods.length > 0 ? [printTable(podHead, podRows, colors)] : []),
    `Dropped by policy: ${dropped.packets} packets. Kept from leaving wrongly: ${guarded.packets} packets.\n`,
    ...(unmarked.packets > 0n
      ? [`Found without our mark, which others take from them: ${unmarked.packets} packets.\n`]
      : []),
    ...(tunnel ? [printTunnel(tunnel)] : []),
    ...exits.flatMap(problemText),
    ...outdatedLines(pods.map((pod) => ({ name: podName(pod), outdated: pod.outdated }))).map((line) => `${line}\n`),
  ].join('\n');
}

/** What an interface that went down took with it, say: nobody but a person puts it back. */
function problemText({ name, problems = [] }: ExitStatus): string[] {
  const [first] = problems;
  if (first === undefined) return [];
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
  return [`Exit "${name}" is not as it should be: ${first}${more}. "egress repair" mends it.\n`];
}

/** With the exit where there are several. */
const portsText = ({ ports = [] }: PodStatus): string =>
  ports.map(({ exit, first, last }) => (ports.length > 1 ? `${exit} ${first}-${last}` : `${first}-${last}`)).join(', ');

const addressTexts = ({ addresses, notHere = [] }: ExitStatus['ways'][number]): string[] =>
  addresses.map((address) => (notHere.includes(address) ? `${address} (not here)` : address));

const nextHops = ({ gateway, ways }: ExitStatus): string =>
  gateway === undefined
    ? ways.map(({ via = 'on link', neighbour }) => (neighbour ? `${via} (${neighbour})` : via)).join(', ')
    : `gateway ${gateway}`;

const printTunnel = ({ vni, port, local, mtu, unserved, strangers }: TunnelStatus): string =>
  [
    `Tunnel: VXLAN ${vni} on UDP port ${port}, from ${local}, MTU ${mtu}.`,
    `Came for an exit that is not served here: ${unserved.packets} packets. From strangers: ${strangers.packets} packets.`,
    '',
  ].join('\n');
