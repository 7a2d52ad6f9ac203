import { families } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState } from './attachment.ts';
import { isHeld } from './held.ts';
import * as layout from './layout.ts';
import { tunnelDevice } from './tunnel.ts';

/** Before masquerade (100, srcnat): the first chain that translates a connection has it. */
export const natPriority = 95;

/** The chains behind routing: they give packets the exit's address, and let them leave with it or not at all. */
export const desiredGuard = (node: Pick<NodeState, 'fwmark' | 'tunnel'>): readonly Chain[] => [
  decide,
  stray,
  unmarked(node.fwmark),
  translate,
  ...desiredLook(node),
];

/**
 * The chains that depend on the tunnel. Without one they do not ask where a packet came from: most nodes have none, and
 * each packet pays.
 */
export function desiredLook({ fwmark, tunnel }: Pick<NodeState, 'fwmark' | 'tunnel'>): readonly Chain[] {
  const hasTunnel = tunnel !== undefined;
  return [judge(hasTunnel), nat(fwmark, hasTunnel), lost(fwmark), guard(fwmark, hasTunnel)];
}

/**
 * Decides again, by the pod that began the connection, or sent the packet without one. Destination and protocol are
 * still as {@link classify} saw them, and the pod's elements here have no counters. Packets of others are left alone.
 */
const decide = chain(layout.chainNames.decide, [
  isHeld,
  ...families.map((family) => rule(say.originVerdict(family, layout.setNames.programs(family)))),
  rule(say.isTracked, say.verdict({ code: 'return' })),
  ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.programs(family)))),
]);

/** Packets out of the tunnel without a mark: nobody here knows their exit any more. All but answers are dropped. */
const stray = chain(layout.chainNames.stray, [
  rule(say.isUntracked, say.verdict({ code: 'return' })), // packets around the tunnel's packets: the kernel calls its device their input
  rule(say.isReply, say.verdict({ code: 'return' })),
  rule(say.counter, say.verdict({ code: 'drop' })),
]);

/**
 * Packets without our mark, behind the hooks where others may have taken it. Packets of steered pods get it back and
 * are counted.
 */
const unmarked = (fwmark: number): Chain =>
  chain(layout.chainNames.unmarked, [
    rule(say.verdict({ code: 'jump', chain: layout.chainNames.decide })),
    rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
    rule(say.counter),
  ]);

/** Packets without our mark at the {@link guard}: most are of pods without a policy, and are let go at once. */
const lost = (fwmark: number): Chain =>
  chain(layout.chainNames.lost, [
    rule(say.isReply, say.verdict({ code: 'return' })),
    ...families.map((family) =>
      rule(say.originNotIn(family, layout.setNames.steered(family)), say.verdict({ code: 'return' })),
    ),
    rule(say.verdict({ code: 'jump', chain: layout.chainNames.unmarked })),
    rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
    rule(say.verdict({ code: 'goto', chain: layout.chainNames.judge })),
  ]);

/** The packet has our mark. */
const isOurs = (fwmark: number) => say.markIs(fwmark, fwmark);

/**
 * Before everybody's masquerade (100): the first binding of a connection wins. Only a connection's first packet comes
 * here, and most are of pods without a policy.
 */
const nat = (fwmark: number, hasTunnel: boolean): Chain =>
  chain(
    layout.chainNames.nat,
    [
      rule(isOurs(fwmark), say.verdict({ code: 'goto', chain: layout.chainNames.translate })),
      ...(hasTunnel ? [fromTunnel] : []),
      rule(say.originNotIn(4, layout.setNames.steered(4)), say.verdict({ code: 'return' })),
      rule(say.verdict({ code: 'jump', chain: layout.chainNames.unmarked })),
      rule(isOurs(fwmark), say.verdict({ code: 'goto', chain: layout.chainNames.translate })),
    ],
    { type: 'nat', hook: 'postrouting', priority: natPriority },
  );

const fromTunnel = rule(say.arrivesBy(tunnelDevice), say.verdict({ code: 'goto', chain: layout.chainNames.stray }));

/**
 * Gives a connection the address of its exit. The mark is not believed: the pod's program decides again. With an id
 * that no exit has, a packet gets no address, and {@link judge} drops it. Inside the tunnel a packet keeps the pod's
 * address: the gateway gives it another.
 */
const translate = chain(layout.chainNames.translate, [
  rule(
    say.arrivesNotBy(tunnelDevice),
    say.keepMark(~layout.exitIdMask >>> 0),
    say.verdict({ code: 'jump', chain: layout.chainNames.decide }),
  ),
  ...families.map((family) => rule(say.markSourceVerdict(family, layout.exitIdMask, layout.setNames.blocks(family)))),
  ...families.map((family) => rule(say.leavesBy(tunnelDevice), say.snatToSource(family))),
  rule(say.markDeviceVerdict(layout.exitIdMask, layout.setNames.spread)),
  ...families.map((family) => rule(say.snatByMarkAndDevice(family, layout.exitIdMask, layout.setNames.snat(family)))),
  rule(say.markIn(layout.exitIdMask, layout.setNames.fallback), say.masquerade),
]);

/**
 * Behind all others but conntrack's own last hook (NF_IP_PRI_LAST, the largest number). No later chain changes a
 * packet.
 */
const behindAll = 0x7ffffffe;

/**
 * Packets with our mark go to {@link judge}, the others to {@link lost}, or to {@link stray}. Most of the others end here, or
 * with the first rule there.
 */
const guard = (fwmark: number, hasTunnel: boolean): Chain =>
  chain(
    layout.chainNames.guard,
    [
      rule(isOurs(fwmark), say.verdict({ code: 'goto', chain: layout.chainNames.judge })),
      ...(hasTunnel ? [fromTunnel] : []),
      rule(say.originNotIn(4, layout.setNames.steered(4)), say.verdict({ code: 'return' })),
      rule(say.verdict({ code: 'goto', chain: layout.chainNames.lost })),
    ],
    { type: 'filter', hook: 'postrouting', priority: behindAll },
  );

/**
 * A packet of ours passes into the tunnel, if that is its exit's way. Otherwise it passes only by its exit's interface,
 * with its exit's address, while that interface has the address. With `addressesOn` any interface of the node may have
 * it: others hold addresses of the whole cluster on interfaces that lead nowhere. All other packets are dropped and
 * counted: of connections from before the policy, invalid ones, which conntrack does not translate, and packets with an
 * address that moved to another node. An exit with `onUnavailable: "node"` also lets the node's own address pass.
 */
const judge = (hasTunnel: boolean): Chain =>
  chain(layout.chainNames.judge, [
    ...(hasTunnel ? [clamped, intoTunnel] : []),
    ...families.map((family) =>
      rule(
        say.sourceIsOfOutput, // first: the lane counts the packets that pass it
        say.markDeviceSourceIn(family, layout.exitIdMask, layout.setNames.lanes(family)),
        say.verdict({ code: 'return' }),
      ),
    ),
    ...families.map((family) =>
      rule(
        say.markIn(layout.exitIdMask, layout.setNames.elsewhere),
        say.sourceIsLocal,
        say.markDeviceSourceIn(family, layout.exitIdMask, layout.setNames.lanes(family)),
        say.verdict({ code: 'return' }),
      ),
    ),
    rule(
      say.markIn(layout.exitIdMask, layout.setNames.fallback),
      say.sourceIsOfOutput, // the exit's address must not pass here: a connection may have it from before
      say.verdict({ code: 'return' }),
    ),
    rule(say.counter, say.verdict({ code: 'drop' })),
  ]);

/** Into the tunnel TCP goes with segments that fit. */
const clamped = rule(say.isSyn, say.leavesBy(tunnelDevice), say.clampToRoute);

const intoTunnel = rule(
  say.leavesBy(tunnelDevice),
  say.isTracked, // else it has the pod's own port, and the gateway would take it for a connection
  say.markIn(layout.exitIdMask, layout.setNames.tunnels),
  say.keepMark(layout.exitIdMask), // the id travels; without our bit the packet around it is not steered again
  say.verdict({ code: 'return' }),
);
