import type { Address } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import type { Tunnel } from '../datapath/attachment.ts';
import { describe } from '../datapath/describe.ts';
import type { ResolvedExit, Way } from '../datapath/exit.ts';
import type { Counters, Host } from '../datapath/host.ts';
import type { Counter } from '../nftables/observed.ts';
import { whyNotHere } from '../node/held.ts';
import { inputOf, inputsOfGateway, sendersOf } from '../node/hindrance.ts';
import type { Machine } from '../node/machine.ts';
import { exitProblems } from '../node/repair.ts';
import { settled } from '../node/settled.ts';
import type { AgentRecord, AttachmentRecord, ElectedExit, FastPathRecord, NodeRecord } from '../store/record.ts';
import { podName } from './asked-pod.ts';
import { type ExitHealth, healthOf } from './health.ts';
import { nothingSaid, type WhyOutdated } from './outdated.ts';

/** What went by in a second, to a tenth. */
export interface Rate {
  readonly packets: number;
  readonly bytes: number;
}

/** The answer of `egress status`, for people and with `--json` for programs. */
export interface Status {
  /** Present with the rates: seconds since the look that they are counted from. */
  readonly rateSeconds?: number;
  readonly exits: readonly ExitStatus[];
  readonly pods: readonly PodStatus[];
  /** Packets for the exit `drop`, or of a family that their exit lacks; absent, as all counters, when nothing counts. */
  readonly dropped?: Counter;
  /** Packets that the guard kept from leaving by a wrong interface or with a wrong address. */
  readonly guarded?: Counter;
  /** Packets that somebody took our mark from: put right, or dropped when they came out of the tunnel. */
  readonly unmarked?: Counter;
  /** The kernel could not mark what pods send where it comes in: a flush of the ruleset would let it out. */
  readonly openAfterFlush?: true;
  /** Packets with a false source: another than the sending pod's, or a checked pod's without the proof. */
  readonly forged?: Counter;
  /** Present while this node is an end of the tunnel. */
  readonly tunnel?: TunnelStatus;
  /** Absent where no agent runs, and none ever did. */
  readonly agent?: AgentStatus;
}

/** `egress agent` on this node. What it did last is absent when it has not written it down. */
export interface AgentStatus extends Partial<Omit<AgentRecord, 'version'>> {
  readonly runs: boolean;
}

/** This node's end of the tunnel. */
export interface TunnelStatus extends Pick<Tunnel, 'vni' | 'port' | 'local' | 'mtu'> {
  /** Packets that came out of the tunnel for an exit that is not served here. */
  readonly unserved?: Counter;
  /** Packets for the tunnel's port that no node had sent. */
  readonly strangers?: Counter;
}

/** An exit that pods of this node use, or that is served here. */
export interface ExitStatus extends ExitHealth {
  readonly name: string;
  readonly id: number;
  readonly device: string;
  /** Where packets leave, when not from here. */
  readonly gateway?: Address;
  /** Packets of others, when this node is their gateway. They are among the steered packets. */
  readonly served?: Counter;
  readonly ways: readonly (ResolvedExit['ways'][number] & {
    readonly neighbour?: string;
    /** Addresses that nothing leaves with now: no interface that may hold them has them. */
    readonly notHere?: readonly Address[];
  })[];
  /** Of an exit that this node is one of the gateways of: which of them has its addresses, as its agent knows it. */
  readonly elected?: ElectedExit;
  /** Packets sent to the exit since its present objects were made. Absent when nothing counts them. */
  readonly steered?: Counter;
  /** Of the steered packets; absent when nobody looked before. */
  readonly rate?: Rate;
  /** Those of them that left by it, of an exit that leaves from this node. */
  readonly left?: Counter;
  /** Those of them that went into the tunnel, of an exit with a gateway. The gateway counts the rest of their way. */
  readonly tunnelled?: Counter;
  /**
   * The others, which were dropped on this node. Absent when unknown: nothing counts at the interface, or packets may
   * leave with the node's address.
   */
  readonly dropped?: { readonly packets: bigint };
  /** Of an exit with one: whether established connections take it now, and why they do not. */
  readonly fastPath?: FastPathRecord;
  /** Its missing and different objects, by which its pods may be cut off; absent when there are none. */
  readonly problems?: readonly string[];
}

/** A pod that policies are for. */
export interface PodStatus
  extends Pick<AttachmentRecord, 'network' | 'containerId' | 'ifname' | 'pod' | 'addresses' | 'ports'> {
  readonly exits: readonly string[];
  /** The policies that are for it, each once with each of its exits, in the order in which they are asked. */
  readonly policies: readonly { readonly name: string; readonly exit: string }[];
  /** What it sent that policies were asked for. */
  readonly packets?: bigint;
  readonly bytes?: bigint;
  readonly rate?: Rate;
  /** Why a new pod like it would be given something else than it has. */
  readonly outdated?: string;
}

const none: Counter = { packets: 0n, bytes: 0n };

/** The objects on this node, and their counters. */
export async function readStatus(
  machine: Machine,
  whyOutdated: WhyOutdated = nothingSaid,
  isClaimed: (path: string) => boolean = () => false,
): Promise<Status> {
  const agent = agentStatus(machine, isClaimed);
  const { node, counters, exits } = await settled(machine, () => readExits(machine, agent), isFine);
  const pods: PodStatus[] = [];
  for (const record of machine.store.list()) {
    const outdated = await whyOutdated(record);
    pods.push({ ...podStatus(record, counters), ...(outdated && { outdated }) });
  }
  return {
    exits,
    pods: pods.sort(byName),
    ...(counters && {
      dropped: counters.dropped,
      guarded: counters.guarded,
      unmarked: counters.unmarked,
      forged: counters.forged,
    }),
    ...(node?.unmarked && { openAfterFlush: true }),
    ...(node?.tunnel && { tunnel: tunnelStatus(node.tunnel, counters) }),
    ...(agent && { agent }),
  };
}

function agentStatus({ store }: Machine, isClaimed: (path: string) => boolean): AgentStatus | undefined {
  const runs = isClaimed(store.agent.lock);
  const record = store.agent.load();
  if (record === undefined) return runs ? { runs } : undefined;
  const { version: _, ...last } = record;
  return { runs, ...last };
}

/** The parts of the node as a whole. */
interface NodeStatus {
  readonly node: NodeRecord | undefined;
  /** Absent when nothing counts. */
  readonly counters: Counters | undefined;
  readonly exits: readonly ExitStatus[];
}

async function readExits({ store, ...machine }: Machine, agent: AgentStatus | undefined): Promise<NodeStatus> {
  using host = machine.host.look();
  const looking = { ...machine, store, host };
  const counters = (await host.hasTable()) ? await host.readCounters() : undefined;
  const node = store.loadNode();
  const served = new Set(node?.gateway?.served);
  const exits: ExitStatus[] = [];
  const elections = store.agent.loadElections();
  const problems = node && (await exitProblems(looking, node));
  for (const exit of node?.exits ?? []) {
    const wrong = problems?.get(exit.name)?.flatMap(describe);
    const elected = elections[exit.name];
    const status = await exitStatus(host, exit, served.has(exit.id), elected, counters);
    const health = await healthOf(host, exit, {
      ...{ isSetUp: counters !== undefined, problems: wrong ?? [], elected },
      asked: agent?.runs ? agent.gateways?.find(({ exit: name }) => name === exit.name) : undefined,
      neighbours: new Map(status.ways.flatMap(({ via, neighbour }) => (via && neighbour ? [[via, neighbour]] : []))),
      inputs: await inputsOf(host, exit, store.list(), served.has(exit.id)),
    });
    const fastPath = fastPathStatus(exit, agent);
    exits.push({ ...status, ...health, ...(fastPath && { fastPath }), ...(wrong && { problems: wrong }) });
  }
  return { node, counters, exits };
}

/** Whether the fast path of an exit is on, if it has one; `undefined` else. Only an agent that lives has it on. */
export function fastPathStatus(
  { fastPath }: Pick<ResolvedExit, 'fastPath'>,
  agent: AgentStatus | undefined,
): FastPathRecord | undefined {
  if (fastPath !== true) return undefined;
  if (agent?.runs !== true) return { isOn: false, why: 'no agent runs' };
  return agent.fastPath ?? { isOn: false, why: 'the agent has not begun it, or no checked pod uses it' };
}

/** The interfaces that packets for an exit come in by, each once. */
async function inputsOf(host: Host, exit: ResolvedExit, records: readonly AttachmentRecord[], isServed: boolean) {
  const own = records.filter(({ outline }) => outline.some(({ exit: name }) => name === exit.name));
  const senders = await sendersOf(
    host,
    own.flatMap(({ addresses }) => addresses),
  );
  const inputs = [...senders.map(inputOf), ...(isServed ? inputsOfGateway([exit]) : [])];
  return [...new Map(inputs.map((input) => [`${input.family} ${input.input}`, input])).values()];
}

const isFine = ({ counters, exits }: NodeStatus): boolean =>
  exits.every(({ health, problems, ways }) => health !== 'fails' && problems === undefined && ways.every(isHeld)) &&
  (counters !== undefined || exits.length === 0);

const isHeld = ({ notHere }: ExitStatus['ways'][number]): boolean => notHere === undefined;

const tunnelStatus = ({ vni, port, local, mtu }: Tunnel, counters?: Counters): TunnelStatus => ({
  ...{ vni, port, local, mtu },
  ...(counters && { unserved: counters.unserved, strangers: counters.strangers }),
});

async function exitStatus(
  host: Host,
  exit: ResolvedExit,
  isServed: boolean,
  elected: ElectedExit | undefined,
  counters?: Counters,
): Promise<Omit<ExitStatus, keyof ExitHealth>> {
  const { name, id, device, ways, gateway } = exit;
  const known: ExitStatus['ways'][number][] = [];
  for (const way of ways) {
    const neighbour = way.via && (await host.readNeighbour(device, way.via));
    const notHere = elected?.holds === false ? [] : await addressesNotHere(host, exit, way);
    known.push({ ...way, ...(neighbour && { neighbour }), ...(notHere.length > 0 && { notHere }) });
  }
  return {
    ...{ name, id, device },
    ...(gateway && { gateway }),
    ...(isServed && counters && { served: counters.served.get(id) ?? none }),
    ways: known,
    ...(elected && { elected }),
    ...(counters && countsOf(exit, counters)),
  };
}

/** What an exit counted on this node. */
export function countsOf(
  { id, gateway, onUnavailable }: ResolvedExit,
  counters: Counters,
): Pick<ExitStatus, 'steered' | 'left' | 'tunnelled' | 'dropped'> {
  const [steered, left] = [counters.steered.get(id), counters.left.get(id)];
  const isKnown = steered !== undefined && left !== undefined && onUnavailable !== 'node';
  // Packets that are on their way are counted in one place only.
  const dropped = isKnown
    ? { packets: steered.packets > left.packets ? steered.packets - left.packets : 0n }
    : undefined;
  return {
    ...(steered && { steered }),
    ...(left && (gateway === undefined ? { left } : { tunnelled: left })),
    ...(dropped && { dropped }),
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
  const counted = counters?.pods.get(markOf(record));
  const policies = outline.map(({ policy, exit }) => [`${policy} ${exit}`, { name: policy, exit }] as const);
  return {
    ...{ network, containerId, ifname, pod, addresses },
    exits: [...new Set(outline.map(({ exit }) => exit))],
    policies: [...new Map(policies).values()],
    ...(ports && { ports }),
    ...counted,
  };
}

const byName = (a: PodStatus, b: PodStatus): number => (podName(a) < podName(b) ? -1 : 1);
