import { families } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { SteeredAttachment } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';

/** A connection that stays with the exit that it began with, while its pod's program has another for it. */
export interface HeldConnection {
  /** Conntrack's number of it (CTA_ID): a hash of 32 bits, the same while it lives. */
  readonly id: number;
  /** Name of the exit, or `node`. */
  readonly exit: string;
}

/** The verdict of a connection that is held; none: the next rule. */
export const isHeld = rule(say.connectionVerdict(layout.setNames.held));

/**
 * Where pods go that have such connections, in the place of their program. The number of a connection is asked for here
 * alone, so other pods pay nothing for it. Each of them has a program. While an element is replaced the kernel may find
 * neither the old one nor the new (seen with Linux 6.18), and then nobody knows the exit: such a packet is dropped.
 */
export const heldChains: readonly Chain[] = [
  chain(layout.chainNames.held, [
    isHeld,
    ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.programs(family)))),
    rule(say.counter, say.verdict({ code: 'drop' })),
  ]),
  chain(layout.chainNames.heldChecked, [
    rule(say.verdict({ code: 'jump', chain: layout.chainNames.prove })),
    rule(say.verdict({ code: 'goto', chain: layout.chainNames.held })),
  ]),
];

/** The chain that packets of an attachment come to. */
export const entryChainOf = ({ holds, sources, program }: SteeredAttachment): string => {
  if (holds) return sources ? layout.chainNames.heldChecked : layout.chainNames.held;
  return sources ? layout.entryOf(program) : program;
};

/** Whether an element of a pod leads to them. */
export const leadsToHeld = ({ verdict }: Element): boolean =>
  verdict !== undefined &&
  'chain' in verdict &&
  [layout.chainNames.held, layout.chainNames.heldChecked].some((name) => name === verdict.chain);

/** The key of an element of the map of connections that are held. */
const heldKey = (id: number): string => id.toString(16).padStart(8, '0');

/** Conntrack's number of the connection that an element of the map is about. */
export const connectionOf = ({ key }: Element): number => Number.parseInt(key, 16);

/** The connections that an attachment holds, of which some may be new. Those of an exit that is not there any more are not. */
export const heldElements = (
  { held = [], mark }: SteeredAttachment,
  exits: readonly Pick<ResolvedExit, 'name' | 'id'>[],
): Element[] =>
  held.flatMap(({ id, exit }): Element[] => {
    const known = exits.find(({ name }) => name === exit);
    if (known === undefined && exit !== 'node') return [];
    const verdict = known ? ({ code: 'goto', chain: layout.chainNames.exit(known.id) } as const) : returned;
    return [{ kind: 'element', set: layout.setNames.held, key: heldKey(id), verdict, comment: mark }];
  });

const returned = { code: 'return' } as const;

/** The exit that an element of the map leads to; `undefined` for an exit that is not among these. */
export function exitOfHeld({ verdict }: Element, exits: readonly Pick<ResolvedExit, 'name' | 'id'>[]) {
  if (verdict === undefined || !('chain' in verdict)) return 'node';
  return exits.find(({ id }) => verdict.chain === layout.chainNames.exit(id))?.name;
}
