import { type Address, contains } from '../base/address.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import { exitOfHeld, heldKey, type HeldConnection } from '../datapath/held.ts';
import type { Flow } from '../datapath/host.ts';
import { setNames } from '../datapath/layout.ts';
import type { Element } from '../nftables/object.ts';
import type { Match } from '../policy/match.ts';
import { matchFor } from '../policy/match-for.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { packetOf } from './flows.ts';
import type { Machine } from './machine.ts';

/** A program, with the networks that no match of it decides about. */
export interface Decider extends ProgramContent {
  readonly subnets: readonly string[];
}

/** What becomes of a pod's connections when it gets another program. */
export interface Connections {
  /** They stay with the exit that they began with. */
  readonly held: readonly HeldConnection[];
  /** They are forgotten: their next packets begin connections with the address that is right now. */
  readonly cut: readonly Flow[];
}

/**
 * Decides about connections of a pod whose exit is another one by its next program. A connection that is held stays with
 * its exit, whatever programs came between. What is dropped now, or has no number in conntrack, is cut.
 *
 * @param isOwn whether an address is the node's own, or another that no program is asked about
 */
export function decideConnections(
  flows: readonly Flow[],
  heldBefore: ReadonlyMap<number, string>,
  [before, after]: readonly [Decider, Decider],
  isOwn: (address: Address) => boolean,
): Connections {
  const held: HeldConnection[] = [];
  const cut: Flow[] = [];
  for (const flow of flows) {
    const [was, is] = [decisionOf(before, flow, isOwn), decisionOf(after, flow, isOwn)];
    const exit = (flow.id !== undefined && heldBefore.get(flow.id)) || exitOf(was);
    if (exit === exitOf(is) || (flow.id !== undefined && heldBefore.has(flow.id) && !isCut(was, is))) continue;
    if (isCut(was, is) || exit === 'drop' || flow.id === undefined) cut.push(flow);
    else held.push({ id: flow.id, exit });
  }
  return { held, cut };
}

const exitOf = (match: Match | undefined): string => match?.exit ?? 'node';

/** The policy that decides now has the say; where none does any more, the one that did. */
const isCut = (was: Match | undefined, is: Match | undefined): boolean =>
  is?.exit === 'drop' || (is ?? was)?.onChange === 'cut';

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

/** The elements of an attachment's connections that are held, by conntrack's number. */
export async function heldOf({ host }: Machine, mark: string): Promise<ReadonlyMap<number, Element>> {
  const elements = (await host.listHeld()).filter(({ comment }) => comment === mark);
  return new Map(elements.map((element) => [Number.parseInt(element.key, 16), element]));
}
