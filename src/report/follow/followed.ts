import type { Address } from '../../base/address.ts';
import type { ForeignChain } from '../../datapath/examiner.ts';
import { filterText } from '../../datapath/filter.ts';
import { type TraceEvent, type TraceVerdict, tracedChains } from '../../datapath/tracer.ts';
import { tableName } from '../../nftables/object.ts';

/** One thing that happened to a packet. */
export interface Stop {
  /** `prerouting`, `forward`, …: of the base chain that it came in by. */
  readonly hook: string;
  readonly priority: number;
  readonly family: TraceEvent['family'];
  readonly table: string;
  readonly chain: string;
  /** Of a rule: its place in the chain from 1, and the kernel's number. Absent: the end of the chain. */
  readonly rule?: { readonly place: number; readonly handle: bigint };
  readonly verdict?: TraceVerdict;
  readonly mark: number;
}

/** A packet, and all that is known of its way so far. */
export interface Followed {
  readonly id: number;
  readonly stops: readonly Stop[];
  readonly inputIndex?: number;
  /** The interface that it was routed to. */
  readonly outputIndex?: number;
  /** As it came, and with translated addresses as it was last seen. */
  readonly first?: Ends;
  readonly last?: Ends;
}

/** Source and destination of a header. */
export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

/** How far a packet came. */
export type Fate =
  | { readonly kind: 'dropped'; readonly by: Stop }
  /** The interface has it. */
  | { readonly kind: 'left' }
  /** It passed all chains, and no chain at an interface says that it was given to one. */
  | { readonly kind: 'routed' }
  /** To the node itself. */
  | { readonly kind: 'local' }
  /** Behind a hook, and in front of the next: where the kernel routes and forwards. */
  | { readonly kind: 'lost'; readonly behind: string };

/** Hooks in the order in which a packet passes them. */
const order: readonly string[] = ['ingress', 'prerouting', 'input', 'forward', 'output', 'postrouting', 'egress'];

type UnderWay = Followed & { readonly base?: ForeignChain };

/**
 * Puts events together, and knows the chains that they are about. The kernel makes the number of a packet of its place in
 * memory, its connection and its interface. So the same packet may have another one at the next hook, where it is known
 * again by its addresses, of which translation leaves one as it was; and the next packet of a connection may have the same
 * one, and is known by being at an earlier hook again.
 */
export class Follower {
  readonly #chains: ReadonlyMap<string, ForeignChain>;
  /** By numbers of our own. */
  readonly #packets = new Map<number, UnderWay>();
  /** The kernel's number of a packet → ours. */
  readonly #numbers = new Map<number, number>();
  #begun = 0;

  constructor(chains: readonly ForeignChain[]) {
    this.#chains = new Map(chains.map((chain) => [filterText(chain), chain]));
  }

  /** The packet with the event. Those of the table that marks it are no stops. */
  add(event: TraceEvent): Followed {
    const known = this.#chains.get(filterText(event));
    const isOwn = event.table.startsWith(`${tableName}-trace-`);
    const hook = order.indexOf(isOwn ? 'prerouting' : (known?.base?.hook ?? ''));
    const before = this.#find(event, hook, isOwn && event.chain === tracedChains.packets) ?? {
      id: ++this.#begun,
      stops: [],
    };
    const base = known?.base ? known : before.base;
    const stop = isOwn ? undefined : stopOf(event, base, known);
    const ends = endsOf(event);
    const packet = {
      ...before,
      ...(base && { base }),
      ...(event.inputIndex && { inputIndex: event.inputIndex }),
      ...(event.outputIndex && { outputIndex: event.outputIndex }),
      ...(ends && { first: before.first ?? ends, last: ends }),
      stops: stop ? [...before.stops, stop] : before.stops,
    };
    this.#numbers.set(event.id, before.id);
    this.#packets.set(before.id, packet);
    return packet;
  }

  /**
   * @param hook the place of the event's hook; -1 in a chain that others jump to
   * @param isFirst of the chain before all others
   */
  #find(event: TraceEvent, hook: number, isFirst: boolean): UnderWay | undefined {
    const number = this.#numbers.get(event.id);
    const same = number === undefined ? undefined : this.#packets.get(number);
    const isAgain = same !== undefined && ((hook >= 0 && hook < placeOf(same)) || (isFirst && same.stops.length > 0));
    if (same !== undefined && !isAgain) return same;
    if (hook <= order.indexOf('prerouting')) return undefined;
    return [...this.#packets.values()].findLast((packet) => isBehind(packet, hook) && isLike(packet, endsOf(event)));
  }

  /** It has come to its end. */
  forget(id: number): void {
    this.#packets.delete(id);
    for (const [number, first] of this.#numbers) if (first === id) this.#numbers.delete(number);
  }
}

/** Whether the packet is at a hook before that one, and was dropped by nobody. */
const isBehind = (packet: UnderWay, hook: number): boolean =>
  packet.stops.at(-1)?.verdict?.code !== 'drop' && placeOf(packet) < hook;

const placeOf = ({ base }: UnderWay): number => order.indexOf(base?.base?.hook ?? 'prerouting');

/** At a device the kernel tells no addresses again. */
const isLike = ({ last }: UnderWay, ends: Ends | undefined): boolean =>
  ends === undefined || last === undefined || last.source === ends.source || last.destination === ends.destination;

const endsOf = ({ source, destination }: TraceEvent): Ends | undefined =>
  source !== undefined && destination !== undefined ? { source, destination } : undefined;

function stopOf(event: TraceEvent, base: ForeignChain | undefined, known: ForeignChain | undefined): Stop {
  const { family, table, chain, handle, verdict, mark } = event;
  const place = known?.rules.findIndex((rule) => rule.handle === handle) ?? -1;
  return {
    hook: base?.base?.hook ?? '?',
    priority: base?.base?.priority ?? 0,
    ...{ family, table, chain, mark },
    ...(event.type === 'rule' && handle !== undefined && { rule: { place: place + 1, handle } }),
    ...(verdict && { verdict }),
  };
}

/** Whether nothing more can come of the packet. */
export const isOver = ({ stops }: Followed): boolean => {
  const last = stops.at(-1);
  return last?.verdict?.code === 'drop' || last?.hook === 'egress';
};

/** How far the packet came, as far as it is known when no event comes any more. */
export function fateOf({ stops }: Followed): Fate {
  const last = stops.at(-1);
  if (last?.verdict?.code === 'drop') return { kind: 'dropped', by: last };
  if (stops.some(({ hook }) => hook === 'egress')) return { kind: 'left' };
  if (stops.some(({ hook }) => hook === 'postrouting')) return { kind: 'routed' };
  if (last?.hook === 'input') return { kind: 'local' };
  return { kind: 'lost', behind: last?.hook ?? 'prerouting' };
}
