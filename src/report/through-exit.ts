import type { Address } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Host } from '../datapath/host.ts';
import * as layout from '../datapath/layout.ts';
import { whyNotHere } from '../node/held.ts';
import { whyNoGateway } from '../node/hindrance.ts';
import { whyNoWay } from '../node/resolve-exit.ts';
import type { Packet } from '../policy/terms.ts';
import { type AttachmentState, faultIn, wantedChain, wantedElements } from './attachment-state.ts';
import { obstaclesOf, withObstacles, withWayBack } from './obstacles.ts';
import { type Decided, dropped, passed, type Trace, unknown } from './outcome.ts';
import { guardElements, portObjects, sourceElements, tunnelObjects } from './steps.ts';
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

/** A packet with the mark of an exit. */
export interface Marked {
  readonly state: AttachmentState;
  readonly packet: Packet;
  readonly exit: ResolvedExit;
  /** The pod's. */
  readonly address: Address;
  /** Source addresses of the exit. It gives the packet one of them. */
  readonly sources: readonly Address[];
  readonly decided: Decided;
}

/** What becomes of it: the exit has a way for it, and the guard lets it take that, or not. */
export async function throughExit(host: Host, marked: Marked): Promise<Trace> {
  const { state, packet, exit, address, sources, decided } = marked;
  const fault = whyUnknown(state, exit, address);
  if (fault !== undefined) return unknown(decided, fault);
  const mark = ((state.node?.fwmark ?? 0) | exit.id) >>> 0;
  const route = await wayOfPod(host, address, { destination: packet.destination, mark });
  if (!leadsOn(route)) return dropped(decided, `exit "${exit.name}" has no route for it`);
  if (route.device !== exit.device) return byOtherDevice(host, marked, route);
  const unsure = whyUnsure(marked);
  if (unsure !== undefined) return unknown(decided, unsure);
  const obstacle = await whyStopped(host, marked);
  if (obstacle !== undefined) return dropped(decided, obstacle);
  const met = await obstaclesOf(host, address, exit.device, true);
  if (met.stopped !== undefined) return dropped(decided, met.stopped);
  const obstacles = await withWayBack(host, state, exit, packet.destination, met);
  const hop = await hopOf(host, route, packet);
  const ports = portsOf(state, exit);
  const way: WayTaken = { ...hop, ...(exit.gateway && { gateway: exit.gateway }), sources, ...(ports && { ports }) };
  const gives = exit.gateway === undefined ? ` with ${sourceWords(way)}` : `, which is to give it ${sourceWords(way)}`;
  const words = withObstacles(`leaves by exit "${exit.name}" (${wayWords(way)})${gives}`, obstacles);
  const notes = [...neighbourNotes(way), ...(exit.gateway ? [onGateway(exit.gateway)] : [])];
  return passed({ ...decided, outcome: 'leaves', words, way, notes }, obstacles);
}

const onGateway = (gateway: Address): string =>
  `What becomes of it there only ${gateway} can tell: ask with egress doctor and egress trace on that node.`;

/** A fault in the chains of all exits, in the exit's own, or in the pod's ports. With one, anything may happen. */
function whyUnknown(state: AttachmentState, exit: ResolvedExit, address: Address): string | undefined {
  const { nat, decide, guard, judge, exit: steers, exitSnat } = layout.chainNames;
  const chains = [nat, decide, guard, judge, steers(exit.id), exitSnat(exit.id)].map((name) =>
    wantedChain(state, name),
  );
  const { chain, block } = portObjects(state, exit, address);
  return faultIn(
    state,
    [...chains, chain, block].filter((object) => object !== undefined),
  );
}

function portsOf({ record }: AttachmentState, { name }: ResolvedExit): Ports | undefined {
  const block = record.ports?.find(({ exit }) => exit === name);
  return block && { first: block.first, last: block.last };
}

/** The routes lead away from the exit: the packet leaves with the node's address if the exit says so, else not at all. */
async function byOtherDevice(
  host: Host,
  { state, packet, exit, address, decided }: Marked,
  route: Leading,
): Promise<Trace> {
  const fallback = wantedElements(state, layout.setNames.fallback).filter(({ key }) => key === layout.exitKey(exit.id));
  if (exit.onUnavailable !== 'node' || faultIn(state, fallback) !== undefined) {
    return dropped(
      decided,
      `exit "${exit.name}" has no route for it, and the guard lets it not leave by ${route.device}`,
    );
  }
  const obstacles = await obstaclesOf(host, address, route.device, true);
  if (obstacles.stopped !== undefined) return dropped(decided, obstacles.stopped);
  const way: WayTaken = { ...(await hopOf(host, route, packet)), sources: route.source ? [route.source] : [] };
  const words = `leaves with the node’s address (${wayWords(way)}), since exit "${exit.name}" has no route for it`;
  const trace: Trace = { ...decided, outcome: 'leaves', words: withObstacles(words, obstacles), way };
  return passed({ ...trace, notes: neighbourNotes(way) }, obstacles);
}

/**
 * A fault in the elements that give a packet an address of the exit, or let it pass with one, while the guard lets the
 * interface's own addresses pass, too. Then the outcome depends on the interface's addresses.
 */
const whyUnsure = ({ state, exit, address, sources }: Marked): string | undefined =>
  exit.onUnavailable === 'node' && exit.gateway === undefined
    ? faultIn(state, [...sourceElements(state, exit, address), ...guardElements(state, exit, sources)])
    : undefined;

/** What keeps a packet from getting an address of the exit, or from passing with it; `undefined` when nothing does. */
async function whyStopped(host: Host, { state, packet, exit, address, sources }: Marked): Promise<string | undefined> {
  const guarding = guardElements(state, exit, sources);
  if (exit.gateway !== undefined) {
    const device = state.wanted.filter(({ kind }) => kind === 'tunnel');
    const fault = faultIn(state, [...device, ...guarding, ...tunnelObjects(state, exit, packet)]);
    return fault ?? (await whyNoGateway(host, exit));
  }
  const fault = faultIn(state, [...sourceElements(state, exit, address), ...guarding]);
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
