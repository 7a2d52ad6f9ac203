import type { Address } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { HeldConnection } from '../datapath/held.ts';
import type { Flow } from '../datapath/host.ts';
import type { Match } from '../policy/match.ts';
import { type Decider, matchOf } from './flows.ts';

/** A connection of a pod whose exit is another one by the pod's next program. */
export interface MovedConnection {
  readonly flow: Flow;
  /** The exit that it began with, and the one that its program has for it now. */
  readonly from: string;
  readonly to: string;
  /** It stays with the exit that it began with; else it is forgotten, and its next packet begins another. */
  readonly isHeld: boolean;
}

/** What is asked about connections of a pod that gets another program. */
export interface Programs {
  readonly before: Decider;
  readonly after: Decider;
  /** Exits by the numbers of connections that are held already. */
  readonly held: ReadonlyMap<number, string>;
  /** The node's addresses. */
  readonly own: ReadonlySet<Address>;
}

/**
 * Decides about the connections of a pod that gets another program. One that is held already stays so, whatever programs
 * come. What is dropped now is cut, and so is what has no number in conntrack. Connections that keep their exit are left out.
 */
export const decideConnections = (
  flows: readonly Flow[],
  { before, after, held, own }: Programs,
): readonly MovedConnection[] =>
  flows.flatMap((flow) => {
    const [was, is] = [matchOf(before, own, flow), matchOf(after, own, flow)];
    const known = flow.id === undefined ? undefined : held.get(flow.id);
    const [from, to] = [known ?? exitOf(was), exitOf(is)];
    const isCut = to === 'drop' || from === 'drop' || (is ?? was)?.onChange === 'cut';
    if (from === to || (known !== undefined && !isCut)) return [];
    return [{ flow, from, to, isHeld: !isCut && flow.id !== undefined }];
  });

const exitOf = (match: Match | undefined): string => match?.exit ?? 'node';

/** Those that are held, as the data path takes them. */
export const heldAmong = (moved: readonly MovedConnection[]): HeldConnection[] =>
  moved.flatMap(({ flow, from, isHeld }) => (isHeld && flow.id !== undefined ? [{ id: flow.id, exit: from }] : []));

/**
 * Of connections that are seen after the change those that began before it, but behind the look: their translation is none
 * of the exit that they should have now. Of one that leaves from another node nothing tells it; it is as a new one.
 */
export const lateAmong = (
  moved: readonly MovedConnection[],
  exits: readonly ResolvedExit[],
): readonly MovedConnection[] =>
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
