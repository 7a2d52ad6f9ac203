import { type Address, contains, familyOf } from '../base/address.ts';
import { keyOf } from '../datapath/difference.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host, RouteTaken } from '../datapath/host.ts';
import * as layout from '../datapath/layout.ts';
import { addressOf } from '../datapath/spread.ts';
import { whyNotHere } from '../node/held.ts';
import { lostGateway } from '../node/hindrance.ts';
import { whyNoWay } from '../node/resolve-exit.ts';
import { type Decision, decide } from '../policy/explain.ts';
import type { Packet } from '../policy/match-for.ts';
import type { NodeRecord } from '../store/record.ts';
import { type Obstacles, obstaclesOf, withObstacles, withWayBack } from './obstacles.ts';
import { faultIn, type Scene, wantedChain, wantedElements, whyNotSteered, whyUndecided } from './scene.ts';
import {
  decidingSteps,
  dropSteps,
  exitSteps,
  guardElements,
  portObjects,
  type Step,
  sourceElements,
  tunnelObjects,
} from './steps.ts';
import {
  hopOf,
  type Leading,
  leadsOn,
  neighbourNotes,
  type Ports,
  sourceWords,
  type WayTaken,
  wayWords,
} from './way.ts';
import { wayOfPod } from './way-of-pod.ts';

/** What becomes of a packet. */
export type Outcome =
  /** It leaves by an exit, or as the exit says when it has no way. */
  | 'leaves'
  /** The node does with it what it would do without egress. */
  | 'left alone'
  | 'dropped'
  /** The pod has no address to send it from. */
  | 'not sent'
  /** Somebody changed what is set up so that nobody can say. */
  | 'unknown';

/** What becomes of a packet, and what does it. */
export interface Fate {
  readonly outcome: Outcome;
  /** The same for a person, as the end of a sentence without its full stop. */
  readonly words: string;
  /**
   * Where the pod's program decides: before all policies, because the packet is for the node itself, the cluster or a
   * network of the pod; in a match; nowhere. Absent when there is no program to look at.
   */
  readonly by?: Decision['by'] | 'own';
  /** What decided, if it was a policy; and its exit, also when nothing leaves by it. */
  readonly policy?: string;
  readonly exit?: string;
  readonly way?: WayTaken;
  /** Chains of others that drop it unless one of their rules accepts it: rules are not judged. */
  readonly unless?: readonly string[];
  /** What drops its answers. */
  readonly unanswered?: string;
  /** What the packet meets, in its order, and what of that is missing or different. */
  readonly kernel: readonly Step[];
  readonly notes: readonly string[];
}

/** What becomes of a packet that begins a connection, as things are now. */
export async function fateOf(host: Host, scene: Scene, packet: Packet): Promise<Fate> {
  const { record, node } = scene;
  const family = familyOf(packet.destination);
  const address = record.addresses.find((own) => familyOf(own) === family);
  const nothing = { kernel: [], notes: [] };
  if (address === undefined)
    return { outcome: 'not sent', words: `cannot be sent: the pod has no IPv${family} address`, ...nothing };
  if (node === undefined) return { outcome: 'unknown', words: 'is not known: the node’s record is lost', ...nothing };
  const usual = await usualRoute(host, packet);
  const decision = isOwn(usual) ? 'own' : decide(record, record.inCluster, packet);
  const decided = { ...whoDecided(decision), kernel: decidingSteps(scene, address, decision, packet), notes: [] };
  if (scene.found.has('table') && isForTunnel(node, packet)) {
    return { ...decided, outcome: 'dropped', words: 'is dropped: nobody but nodes may send to the tunnel’s port' };
  }
  const unsteered = whyNotSteered(scene, address);
  if (unsteered !== undefined && isDecidedLate(scene, address, decision)) return decidedLate(decided, unsteered);
  if (unsteered !== undefined) return leftAlone(host, decided, usual, { packet, address, why: unsteered });
  const undecided = whyUndecided(scene, address);
  if (undecided !== undefined) return unknown(decided, undecided);
  if (decision === 'own' || decision.by !== 'match' || decision.match.exit === 'node') {
    const notes = decision !== 'own' && decision.by === 'cluster' ? [behindServices] : [];
    return leftAlone(host, { ...decided, notes }, usual, { packet, address, why: whyAlone(decision, usual) });
  }
  return byExit(host, scene, packet, address, decided);
}

type Decided = Pick<Fate, 'by' | 'policy' | 'exit' | 'kernel' | 'notes'>;

/** RTN_* of {@link layout.ownSet}, in words. */
const ownTypes = ['local', 'broadcast', 'anycast', 'multicast'];

/** Nothing of 0.0.0.0/8 is forwarded: a program is told that it is broadcast, though it has a route. */
const usualRoute = async (host: Host, { destination }: Packet): Promise<RouteTaken | undefined> =>
  contains('0.0.0.0/8', destination) ? { type: 'broadcast' } : host.routeTo(destination);

const isOwn = (route: RouteTaken | undefined): boolean => ownTypes.includes(route?.type ?? '');

/** What the tunnel drops, whatever the pod's program says, and wherever it is for. */
const isForTunnel = ({ tunnel }: NodeRecord, { protocol, port }: Packet): boolean =>
  tunnel !== undefined && protocol === 'udp' && port === tunnel.port;

/** Whether the program decides behind routing, where somebody took away what makes it decide before. */
const isDecidedLate = (scene: Scene, address: Address, decision: Decision | 'own'): boolean =>
  decision !== 'own' &&
  decision.by === 'match' &&
  decision.match.exit !== 'node' &&
  [layout.setNames.steered, layout.setNames.programs]
    .flatMap((setOf) => wantedElements(scene, setOf(familyOf(address))))
    .filter(({ key }) => key === layout.addressHex(address))
    .every((element) => scene.found.has(keyOf(element)));

/** The packet took the node's way, on which it is let pass only where that is its exit's way as well. */
const decidedLate = (decided: Decided, why: string): Fate => ({
  ...decided,
  outcome: 'dropped',
  words: `is dropped, unless the node's own way is that of the exit: ${why}`,
});

function whoDecided(decision: Decision | 'own'): Pick<Fate, 'by' | 'policy' | 'exit'> {
  if (decision === 'own') return { by: 'own' };
  const { by } = decision;
  return decision.by === 'match' ? { by, policy: decision.match.policy, exit: decision.match.exit } : { by };
}

function whyAlone(decision: Decision | 'own', route: RouteTaken | undefined): string {
  if (decision === 'own') return `it is for this node or its segment (${route?.type})`;
  if (decision.by === 'cluster') return `${decision.range} is a range of the cluster`;
  if (decision.by === 'subnet') return `${decision.range} is a network of the pod`;
  if (decision.by === 'match') return `policy "${decision.match.policy}" says so`;
  return 'no policy of the pod is about it';
}

/** The packet goes as the node's own routes say. */
async function leftAlone(
  host: Host,
  decided: Decided,
  route: RouteTaken | undefined,
  { packet, address, why }: { readonly packet: Packet; readonly address: Address; readonly why: string },
): Promise<Fate> {
  if (isOwn(route)) return { ...decided, outcome: 'left alone', words: `is left alone: ${why}` };
  if (!leadsOn(route))
    return { ...decided, outcome: 'dropped', words: `is left alone (${why}), and the node has no route for it` };
  const obstacles = await obstaclesOf(host, address, route.device, false);
  if (obstacles.stopped !== undefined)
    return { ...decided, outcome: 'dropped', words: `is left alone (${why}), and dropped: ${obstacles.stopped}` };
  const way = { ...(await hopOf(host, route, packet)), sources: [] };
  const words = withObstacles(`is left alone (${wayWords(way)}): ${why}`, obstacles);
  return passed({ ...decided, outcome: 'left alone', words, way }, obstacles);
}

const behindServices = 'Packets to a Service are judged by the address that answers behind it: ask about that one.';

/** What becomes of a packet that a match sends to an exit, or drops. */
async function byExit(host: Host, scene: Scene, packet: Packet, address: Address, decided: Decided): Promise<Fate> {
  const family = familyOf(address);
  const droppedBy = { ...decided, kernel: [...decided.kernel, ...dropSteps(scene)] };
  if (decided.exit === 'drop') return dropped(droppedBy, `policy "${decided.policy}" says so`);
  const exit = scene.node?.exits.find(({ name }) => name === decided.exit);
  const addresses = exit?.ways.find((way) => way.family === family)?.addresses;
  if (exit === undefined || addresses === undefined) {
    return dropped(droppedBy, `exit "${decided.exit}" has no IPv${family}`);
  }
  const source = addressOf(addresses, address);
  const sources = exit.addressPerFlow || addresses.length === 0 ? addresses : [source];
  const kernel = [...decided.kernel, ...exitSteps(scene, exit, { address, sources, packet })];
  return throughExit(host, { scene, packet, exit, address, sources, decided: { ...decided, kernel } });
}

const dropped = (decided: Decided, why: string): Fate => ({
  ...decided,
  outcome: 'dropped',
  words: `is dropped: ${why}`,
});

const unknown = (decided: Decided, fault: string): Fate => ({
  ...decided,
  outcome: 'unknown',
  words: `is not known: ${fault}`,
});

/** A packet with the mark of an exit. */
interface Marked {
  readonly scene: Scene;
  readonly packet: Packet;
  readonly exit: ResolvedExit;
  /** The pod's. */
  readonly address: Address;
  /** Those that the exit gives it one of. */
  readonly sources: readonly Address[];
  readonly decided: Decided;
}

async function throughExit(host: Host, marked: Marked): Promise<Fate> {
  const { scene, packet, exit, address, sources, decided } = marked;
  const fault = whyUnknown(scene, exit, address);
  if (fault !== undefined) return unknown(decided, fault);
  const mark = ((scene.node?.fwmark ?? 0) | exit.id) >>> 0;
  const route = await wayOfPod(host, address, { destination: packet.destination, mark });
  if (!leadsOn(route)) return dropped(decided, `exit "${exit.name}" has no route for it`);
  if (route.device !== exit.device) return byOtherDevice(host, marked, route);
  const unsure = whyUnsure(marked);
  if (unsure !== undefined) return unknown(decided, unsure);
  const obstacle = await whyStopped(host, marked);
  if (obstacle !== undefined) return dropped(decided, obstacle);
  const met = await obstaclesOf(host, address, exit.device, true);
  if (met.stopped !== undefined) return dropped(decided, met.stopped);
  const obstacles = await withWayBack(host, scene, exit, packet.destination, met);
  const hop = await hopOf(host, route, packet);
  const ports = portsOf(scene, exit);
  const way: WayTaken = { ...hop, ...(exit.gateway && { gateway: exit.gateway }), sources, ...(ports && { ports }) };
  const gives = exit.gateway === undefined ? ` with ${sourceWords(way)}` : `, which is to give it ${sourceWords(way)}`;
  const words = withObstacles(`leaves by exit "${exit.name}" (${wayWords(way)})${gives}`, obstacles);
  const notes = [...neighbourNotes(way), ...(exit.gateway ? [onGateway(exit.gateway)] : [])];
  return passed({ ...decided, outcome: 'leaves', words, way, notes }, obstacles);
}

const onGateway = (gateway: Address): string =>
  `What becomes of it there only ${gateway} can tell: ask with egress check and egress status on that node.`;

/** A packet that gets past all that is known, with what is not. */
const passed = (fate: Fate, { unless, unanswered, notes }: Obstacles): Fate => ({
  ...fate,
  ...(unless.length > 0 && { unless }),
  ...(unanswered && { unanswered }),
  notes: [...fate.notes, ...notes],
});

/**
 * What of that which all exits share, of the exit's chains, or of what gives the pod its ports is not as it should be:
 * then anything may happen.
 */
function whyUnknown(scene: Scene, exit: ResolvedExit, address: Address): string | undefined {
  const { nat, guard, exit: steers, exitSnat } = layout.chainNames;
  const chains = [nat, guard, steers(exit.id), exitSnat(exit.id)].map((name) => wantedChain(scene, name));
  const { chain, block } = portObjects(scene, exit, address);
  return faultIn(
    scene,
    [...chains, chain, block].filter((object) => object !== undefined),
  );
}

function portsOf({ record }: Scene, { name }: ResolvedExit): Ports | undefined {
  const block = record.ports?.find(({ exit }) => exit === name);
  return block && { first: block.first, last: block.last };
}

/** The routes lead away from the exit: the packet leaves with the node's address if the exit says so, else not at all. */
async function byOtherDevice(
  host: Host,
  { scene, packet, exit, address, decided }: Marked,
  route: Leading,
): Promise<Fate> {
  const fallback = wantedElements(scene, layout.setNames.fallback).filter(({ key }) => key === layout.exitKey(exit.id));
  if (exit.onUnavailable !== 'node' || faultIn(scene, fallback) !== undefined) {
    return dropped(
      decided,
      `exit "${exit.name}" has no route for it, and the guard lets it not leave by ${route.device}`,
    );
  }
  const obstacles = await obstaclesOf(host, address, route.device, true);
  if (obstacles.stopped !== undefined) return dropped(decided, obstacles.stopped);
  const way: WayTaken = { ...(await hopOf(host, route, packet)), sources: route.source ? [route.source] : [] };
  const words = `leaves with the node’s address (${wayWords(way)}), since exit "${exit.name}" has no route for it`;
  const fate: Fate = { ...decided, outcome: 'leaves', words: withObstacles(words, obstacles), way };
  return passed({ ...fate, notes: neighbourNotes(way) }, obstacles);
}

/**
 * What is wrong with that which gives a packet an address of the exit, or lets it pass with it, where the guard also lets
 * pass what has another address of the interface: then it depends on the interface's addresses.
 */
const whyUnsure = ({ scene, exit, address, sources }: Marked): string | undefined =>
  exit.onUnavailable === 'node' && exit.gateway === undefined
    ? faultIn(scene, [...sourceElements(scene, exit, address), ...guardElements(scene, exit, sources)])
    : undefined;

/** What keeps a packet from getting an address of the exit, or from passing with it; `undefined` when nothing does. */
async function whyStopped(host: Host, { scene, packet, exit, address, sources }: Marked): Promise<string | undefined> {
  const guarding = guardElements(scene, exit, sources);
  if (exit.gateway !== undefined) {
    const device = scene.wanted.filter(({ kind }) => kind === 'tunnel');
    const fault = faultIn(scene, [...device, ...guarding, ...tunnelObjects(scene, exit, packet)]);
    return fault ?? (await lostGateway(host, exit));
  }
  const fault = faultIn(scene, [...sourceElements(scene, exit, address), ...guarding]);
  if (fault !== undefined) return fault;
  const link = await host.readLink(exit.device);
  const noWay = link && whyNoWay(link);
  if (noWay !== undefined) return `${exit.device} ${noWay}`;
  for (const source of sources) {
    const why = await whyNotHere(host, exit, source);
    if (why !== undefined) return why;
  }
  return undefined;
}
