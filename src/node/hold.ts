import { type Address, contains, type Prefix } from '../base/address.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import { connectionOf, exitOfHeld, type HeldConnection } from '../datapath/held.ts';
import type { Flow } from '../datapath/host.ts';
import type { Match } from '../policy/match.ts';
import { matchFor } from '../policy/match-for.ts';
import { packetOf } from './flows.ts';
import type { Machine } from './machine.ts';

/** A program, with the networks that no match of it decides about. */
export interface Decider extends ProgramContent {
  readonly subnets: readonly Prefix[];
}

/** A connection of a pod whose exit is another one by the pod's next program. */
export interface Moved {
  readonly flow: Flow;
  /** The exit that it began with, and the one that its program has for it now. */
  readonly from: string;
  readonly to: string;
  /** It stays with the exit that it began with; else it is forgotten, and its next packet begins another. */
  readonly isHeld: boolean;
}

/**
 * Decides about the connections of a pod that gets another program. One that is held already stays so, whatever programs
 * come. What is dropped now is cut, and so is what has no number in conntrack.
 *
 * @param held exits by the numbers of connections that are held already
 * @param isOwn whether an address is the node's: no program is asked about it
 */
export function decideConnections(
  flows: readonly Flow[],
  held: ReadonlyMap<number, string>,
  [before, after]: readonly [Decider, Decider],
  isOwn: (address: Address) => boolean,
): Moved[] {
  return flows.flatMap((flow) => {
    const [was, is] = [decisionOf(before, flow, isOwn), decisionOf(after, flow, isOwn)];
    const known = flow.id === undefined ? undefined : held.get(flow.id);
    const [from, to] = [known ?? exitOf(was), exitOf(is)];
    const isCut = to === 'drop' || from === 'drop' || (is ?? was)?.onChange === 'cut';
    if (from === to || (known !== undefined && !isCut)) return [];
    return [{ flow, from, to, isHeld: !isCut && flow.id !== undefined }];
  });
}

const exitOf = (match: Match | undefined): string => match?.exit ?? 'node';

function decisionOf(
  { matches, cluster = [], subnets }: Decider,
  flow: Flow,
  isOwn: (address: Address) => boolean,
): Match | undefined {
  const packet = packetOf(flow);
  const { destination } = packet;
  if (isOwn(destination) || [...cluster, ...subnets].some((range) => contains(range, destination))) return undefined;
  return matchFor(matches, packet);
}

/** A pod that runs while it is given another program. */
export interface Changed {
  readonly mark: string;
  readonly addresses: readonly Address[];
  readonly programs: readonly [before: Decider, after: Decider];
  /** Those of the node. */
  readonly exits: readonly ResolvedExit[];
}

/** {@link decideConnections} for the connections that the pod has now. Changes nothing. */
export async function lookAtConnections({ host }: Machine, pod: Changed): Promise<readonly Moved[]> {
  const flows: Flow[] = [];
  for (const address of pod.addresses) {
    flows.push(...(await host.listFlows(address)).filter(({ source }) => source === address));
  }
  if (flows.length === 0) return [];
  const own = new Set((await host.listAllAddresses()).map(({ address }) => address));
  const held = (await host.listHeld()).filter(({ comment }) => comment === pod.mark);
  const exits = new Map(
    held.flatMap((element) => {
      const exit = exitOfHeld(element, pod.exits);
      return exit === undefined ? [] : [[connectionOf(element), exit] as const];
    }),
  );
  return decideConnections(flows, exits, pod.programs, (address) => own.has(address));
}

/** Those that are held, as the data path takes them. */
export const heldAmong = (moved: readonly Moved[]): HeldConnection[] =>
  moved.flatMap(({ flow, from, isHeld }) => (isHeld && flow.id !== undefined ? [{ id: flow.id, exit: from }] : []));

/**
 * Of connections that are seen after the change those that began before it, but behind the look: their translation is none
 * of the exit that they should have now. Of one that leaves from another node nothing tells it; it is as a new one.
 */
export const lateAmong = (moved: readonly Moved[], exits: readonly ResolvedExit[]): Moved[] =>
  moved.filter(({ flow, from, to }) => {
    const now = translationsOf(to, exits);
    if (now.length > 0) return !now.includes(flow.replyDestination);
    return translationsOf(from, exits).includes(flow.replyDestination);
  });

/** The addresses that this node gives to what leaves by an exit. */
const translationsOf = (name: string, exits: readonly ResolvedExit[]): readonly Address[] =>
  exits
    .filter((exit) => exit.name === name && exit.gateway === undefined)
    .flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses));

/** Forgets those that are not held. */
export async function cut({ host }: Machine, moved: readonly Moved[]): Promise<void> {
  const gone = moved.filter(({ isHeld }) => !isHeld).map(({ flow }) => flow);
  for (const [source, own] of Map.groupBy(gone, ({ source }) => source)) {
    const keys = new Set(own.map(nameOf));
    await host.deleteFlows(source, (flow) => keys.has(nameOf(flow)));
  }
}

const nameOf = ({ id, protocol, source, sourcePort, destination, destinationPort }: Flow): string =>
  id === undefined ? [protocol, source, sourcePort, destination, destinationPort].join(' ') : String(id);
