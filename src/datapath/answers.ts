import { addressFromBytes, families, familyOf } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState } from './attachment.ts';
import type { Branches } from './classify.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';

/**
 * Answers from the address of an exit leave by that exit. A Service may have the address: its pods would answer by the
 * node's default route, where the address must not be seen. Or nobody listens, and the node itself says so. Packets to
 * the cluster, and packets that take the exit's interface anyway, go as they would.
 */

const done = say.verdict({ code: 'return' });

/** The part of all exits: maps and chains for answers of pods, and of the node itself. */
export const answersBase = ({ inside = [] }: Pick<NodeState, 'inside'>): HostObject[] => [
  ...families.flatMap((family) => [
    layout.returnsMap(family),
    layout.localsMap(family),
    layout.rangesSet(
      layout.setNames.inside(family),
      family,
      inside.filter((range) => familyOf(range) === family),
    ),
  ]),
  chain(
    layout.chainNames.returns,
    families.map((family) => rule(say.originalDestinationVerdict(family, layout.setNames.returns(family)))),
  ),
];

/**
 * What the node itself sends. On a gateway {@link Branches} are asked first. There only packets around the tunnel's pass
 * them by, which are most of it.
 */
export const local = ({ port, isGateway }: Branches): Chain =>
  chain(
    layout.chainNames.local,
    [
      ...(isGateway && port !== undefined ? [rule(say.udpDestinationPort(port), say.isUntracked, done)] : []),
      ...(isGateway ? [rule(say.verdict({ code: 'jump', chain: layout.chainNames.unasked }))] : []),
      rule(say.isUntracked, done), // the packets around the tunnel's packets, and neighbour discovery
      rule(say.isOriginal, done),
      ...families.map((family) => rule(say.originalDestinationVerdict(family, layout.setNames.locals(family)))),
      // Without a connection: a reset for a packet that conntrack calls invalid.
      ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.locals(family)))),
    ],
    { type: 'route', hook: 'output', priority: -90 },
  );

/** The part of one exit; none when its packets leave from another node. */
export function desiredAnswers(node: NodeState, exit: ResolvedExit): HostObject[] {
  if (exit.gateway !== undefined || node.inside === undefined) return []; // an earlier version wrote no ranges
  const inside = families.map((family) =>
    rule(say.destinationIn(family, layout.setNames.inside(family), { first: true }), done),
  );
  const leave = rule(say.verdict({ code: 'goto', chain: layout.chainNames.exit(exit.id) }));
  return [
    chain(layout.chainNames.exitReturns(exit.id), [...inside, rule(say.routeLeavesBy(exit.device), done), leave]),
    chain(layout.chainNames.exitLocal(exit.id), [rule(say.leavesBy(exit.device), done), ...inside, leave]),
    ...exit.ways.flatMap(({ addresses }) =>
      addresses.filter((address) => ownerOf(address, node.exits)?.id === exit.id).flatMap(elementsOf(exit)),
    ),
  ];
}

/** Of several exits with one address the first answers for it: one with the lowest id. */
const ownerOf = (address: string, exits: readonly ResolvedExit[]): ResolvedExit | undefined =>
  exits
    .filter(({ gateway, ways }) => gateway === undefined && ways.some(({ addresses }) => addresses.includes(address)))
    .sort((a, b) => a.id - b.id)[0];

const elementsOf =
  (exit: ResolvedExit) =>
  (address: string): Element[] => {
    const [family, key] = [familyOf(address), layout.addressHex(address)];
    return [
      element(layout.setNames.returns(family), key, layout.chainNames.exitReturns(exit.id)),
      element(layout.setNames.locals(family), key, layout.chainNames.exitLocal(exit.id)),
    ];
  };

const element = (set: string, key: string, chain: string): Element => ({
  kind: 'element',
  set,
  key,
  verdict: { code: 'goto', chain },
});

/** Whether an element leads answers to one of the exits, or shall. */
export function concernsAnswers(element: Element, node: NodeState, ids: ReadonlySet<number | undefined>): boolean {
  if (!layout.isAnswersSet(element.set)) return false;
  const owner = ownerOf(addressFromBytes(Buffer.from(element.key, 'hex')), node.exits);
  return ids.has(layout.exitIdOfElement(element)) || (owner !== undefined && ids.has(owner.id));
}

/** The element in place of one whose exit goes, when another exit has the address, too. */
export function heirOf(gone: Element, exits: readonly ResolvedExit[]): Element | undefined {
  const address = addressFromBytes(Buffer.from(gone.key, 'hex'));
  const owner = layout.isAnswersSet(gone.set) ? ownerOf(address, exits) : undefined;
  return owner && elementsOf(owner)(address).find(({ set }) => set === gone.set);
}
