import { type Address, contains, familyOf } from '../base/address.ts';
import { keyOf } from '../datapath/difference.ts';
import type { Host, RouteTaken } from '../datapath/host.ts';
import * as layout from '../datapath/layout.ts';
import { addressOf } from '../datapath/slots.ts';
import { type Decision, decide } from '../policy/decision.ts';
import type { Packet } from '../policy/terms.ts';
import type { NodeRecord } from '../store/record.ts';
import { type AttachmentState, isClosed, wantedElements, whyNotSteered, whyUndecided } from './attachment-state.ts';
import { obstaclesOf, withObstacles } from './obstacles.ts';
import { type Decided, dropped, passed, type Trace, unknown } from './outcome.ts';
import { decidingSteps, dropSteps, exitSteps } from './steps.ts';
import { throughExit } from './through-exit.ts';
import { hopOf, leadsOn, wayWords } from './way.ts';

/** What becomes of a packet that begins a connection, as things are now. */
export async function traceOf(host: Host, state: AttachmentState, packet: Packet): Promise<Trace> {
  const { record, node } = state;
  const family = familyOf(packet.destination);
  const address = record.addresses.find((own) => familyOf(own) === family);
  const nothing = { kernel: [], notes: [] };
  if (address === undefined)
    return { outcome: 'not sent', words: `cannot be sent: the pod has no IPv${family} address`, ...nothing };
  if (node === undefined) return { outcome: 'unknown', words: 'is not known: the node’s record is lost', ...nothing };
  const usual = await usualRoute(host, packet);
  const decision = isOwn(usual) ? 'own' : decide(record, record.inCluster, packet);
  const decided = { ...whoDecided(decision), kernel: decidingSteps(state, address, decision, packet), notes: [] };
  if (state.found.has('table') && isForTunnel(node, packet)) {
    return { ...decided, outcome: 'dropped', words: 'is dropped: nobody but nodes may send to the tunnel’s port' };
  }
  const unsteered = whyNotSteered(state, address);
  if (unsteered !== undefined && !isOwn(usual) && isClosed(state, address, packet.destination))
    return dropped(decided, `${unsteered}, and a packet that nothing has judged goes nowhere`);
  if (unsteered !== undefined && isDecidedLate(state, address, decision)) return decidedLate(decided, unsteered);
  if (unsteered !== undefined) return leftAlone(host, decided, usual, { packet, address, why: unsteered });
  const undecided = whyUndecided(state, address);
  if (undecided !== undefined) return unknown(decided, undecided);
  if (decision === 'own' || decision.by !== 'match' || decision.match.exit === 'node') {
    const notes = decision !== 'own' && decision.by === 'cluster' ? [behindServices] : [];
    return leftAlone(host, { ...decided, notes }, usual, { packet, address, why: whyAlone(decision, usual) });
  }
  return byExit(host, state, packet, address, decided);
}

/** RTN_* of {@link layout.ownSet}, in words. */
const ownTypes = ['local', 'broadcast', 'anycast', 'multicast'];

/** Nothing of 0.0.0.0/8 is forwarded: a program is told that it is broadcast, though it has a route. */
const usualRoute = async (host: Host, { destination }: Packet): Promise<RouteTaken | undefined> =>
  contains('0.0.0.0/8', destination) ? { type: 'broadcast' } : host.routeTo(destination);

const isOwn = (route: RouteTaken | undefined): boolean => ownTypes.includes(route?.type ?? '');

/** Whether the tunnel's chains drop the packet, whatever the pod's program says. */
const isForTunnel = ({ tunnel }: NodeRecord, { protocol, port }: Packet): boolean =>
  tunnel !== undefined && protocol === 'udp' && port === tunnel.port;

/** Whether the program decides behind routing, since somebody took away the element that makes it decide before. */
const isDecidedLate = (state: AttachmentState, address: Address, decision: Decision | 'own'): boolean =>
  decision !== 'own' &&
  decision.by === 'match' &&
  decision.match.exit !== 'node' &&
  [layout.setNames.steered, layout.setNames.programs]
    .flatMap((setOf) => wantedElements(state, setOf(familyOf(address))))
    .filter(({ key }) => key === layout.addressHex(address))
    .every((element) => state.found.has(keyOf(element)));

/** The packet took the node's way. It passes only where that is its exit's way as well. */
const decidedLate = (decided: Decided, why: string): Trace => ({
  ...decided,
  outcome: 'dropped',
  words: `is dropped, unless the node's own way is that of the exit: ${why}`,
});

function whoDecided(decision: Decision | 'own'): Pick<Trace, 'by' | 'policy' | 'exit'> {
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
): Promise<Trace> {
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

/** The fate of a packet that a match sends to an exit, or drops. */
async function byExit(
  host: Host,
  state: AttachmentState,
  packet: Packet,
  address: Address,
  decided: Decided,
): Promise<Trace> {
  const family = familyOf(address);
  const droppedBy = { ...decided, kernel: [...decided.kernel, ...dropSteps(state)] };
  if (decided.exit === 'drop') return dropped(droppedBy, `policy "${decided.policy}" says so`);
  const exit = state.node?.exits.find(({ name }) => name === decided.exit);
  const addresses = exit?.ways.find((way) => way.family === family)?.addresses;
  if (exit === undefined || addresses === undefined) {
    return dropped(droppedBy, `exit "${decided.exit}" has no IPv${family}`);
  }
  const source = addressOf(addresses, address);
  const sources = exit.addressPerFlow || addresses.length === 0 ? addresses : [source];
  const kernel = [...decided.kernel, ...exitSteps(state, exit, { address, sources, packet })];
  return throughExit(host, { state, packet, exit, address, sources, decided: { ...decided, kernel } });
}
