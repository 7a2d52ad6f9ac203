import { families } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState } from './attachment.ts';
import * as layout from './layout.ts';
import { tunnelDevice } from './tunnel.ts';

/** What packets meet behind routing: the exit's address, and whoever lets them leave with it, or not at all. */
export const desiredGuard = (node: Pick<NodeState, 'fwmark' | 'tunnel'>): readonly Chain[] => [
  decide,
  stray,
  unmarked(node.fwmark),
  nat(node.fwmark),
  judge,
  ...desiredLook(node),
];

/** Those of them that ask where a packet came from only while the node has a tunnel: most nodes have none, and each packet pays. */
export function desiredLook({ fwmark, tunnel }: Pick<NodeState, 'fwmark' | 'tunnel'>): readonly Chain[] {
  const hasTunnel = tunnel !== undefined;
  return [lost(fwmark, hasTunnel), guard(fwmark, hasTunnel)];
}

/**
 * Decides again by the pod that the connection began at, or that sent a packet without a connection: destination and
 * protocol are what {@link classify} saw, and the pod's elements here do not count. Leaves packets of others alone.
 */
const decide = chain(layout.chainNames.decide, [
  ...families.map((family) => rule(say.originVerdict(family, layout.setNames.programs(family)))),
  rule(say.isTracked, say.verdict({ code: 'return' })),
  ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.programs(family)))),
]);

/** Of a packet that came out of the tunnel nobody here can tell the exit any more: unless it is an answer, it is dropped. */
const stray = chain(layout.chainNames.stray, [
  rule(say.isReply, say.verdict({ code: 'return' })),
  rule(say.isUntracked, say.verdict({ code: 'return' })), // those around packets in the tunnel: the kernel has them come in by its device
  rule(say.counter, say.verdict({ code: 'drop' })),
]);

/**
 * Packets without our mark, behind the hooks in which others can have taken it: those of steered pods get it back and are
 * counted.
 */
const unmarked = (fwmark: number): Chain =>
  chain(layout.chainNames.unmarked, [
    rule(say.isReply, say.verdict({ code: 'return' })),
    rule(say.verdict({ code: 'jump', chain: layout.chainNames.decide })),
    rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
    rule(say.counter),
  ]);

/** Packets without our mark at the {@link guard}: most are of pods without a policy, and are let go at once. */
const lost = (fwmark: number, hasTunnel: boolean): Chain =>
  chain(layout.chainNames.lost, [
    ...(hasTunnel
      ? [rule(say.arrivesBy(tunnelDevice), say.verdict({ code: 'goto', chain: layout.chainNames.stray }))]
      : []),
    ...families.map((family) =>
      rule(say.originNotIn(family, layout.setNames.steered(family)), say.verdict({ code: 'return' })),
    ),
    rule(say.verdict({ code: 'jump', chain: layout.chainNames.unmarked })),
    rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
    rule(say.verdict({ code: 'goto', chain: layout.chainNames.judge })),
  ]);

/**
 * Before everybody's masquerade (100): the first binding of a connection wins. Only a connection's first packet comes
 * here, so its mark is not believed: whatever it says, the pod's program decides again. With an id that no exit has, a
 * packet gets no address, and {@link judge} drops it. Inside the tunnel a packet keeps the pod's address: the gateway
 * gives it another.
 */
const nat = (fwmark: number): Chain =>
  chain(
    layout.chainNames.nat,
    [
      rule(
        say.markWithout(fwmark),
        say.arrivesBy(tunnelDevice),
        say.verdict({ code: 'goto', chain: layout.chainNames.stray }),
      ),
      rule(say.markWithout(fwmark), say.verdict({ code: 'jump', chain: layout.chainNames.unmarked })),
      rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
      rule(
        say.arrivesNotBy(tunnelDevice),
        say.keepMark(~layout.exitIdMask >>> 0),
        say.verdict({ code: 'jump', chain: layout.chainNames.decide }),
      ),
      ...families.map((family) =>
        rule(say.markSourceVerdict(family, layout.exitIdMask, layout.setNames.blocks(family))),
      ),
      ...families.map((family) => rule(say.leavesBy(tunnelDevice), say.snatToSource(family))),
      rule(say.markDeviceVerdict(layout.exitIdMask, layout.setNames.spread)),
      ...families.map((family) =>
        rule(say.snatByMarkAndDevice(family, layout.exitIdMask, layout.setNames.snat(family))),
      ),
      rule(say.markIn(layout.exitIdMask, layout.setNames.fallback), say.masquerade),
    ],
    { type: 'nat', hook: 'postrouting', priority: 95 },
  );

/** Behind all others, but for conntrack's own last look (NF_IP_PRI_LAST, the largest number): what we see here is what leaves. */
const behindAll = 0x7ffffffe;

/** Packets with our mark are judged, the others looked at; without a tunnel most of these end at the first rule. */
const guard = (fwmark: number, hasTunnel: boolean): Chain =>
  chain(
    layout.chainNames.guard,
    [
      ...(hasTunnel
        ? []
        : [
            rule(
              say.markWithout(fwmark),
              say.originNotIn(4, layout.setNames.steered(4)),
              say.verdict({ code: 'return' }),
            ),
          ]),
      rule(say.markWithout(fwmark), say.verdict({ code: 'goto', chain: layout.chainNames.lost })),
      rule(say.verdict({ code: 'goto', chain: layout.chainNames.judge })),
    ],
    { type: 'filter', hook: 'postrouting', priority: behindAll },
  );

/**
 * A packet of ours passes only by its exit's interface, with its exit's address, and only while
 * that interface has the address (or, if the exit says so, any of the node's: others hold addresses of the whole cluster
 * on interfaces that lead nowhere); or into the tunnel, if that is its exit's way. All else is dropped and counted: connections
 * that were there before the policy, packets that conntrack calls invalid and therefore does not translate, addresses
 * that moved to another node. An exit may say that its packets leave with the node's own address when it has no route.
 */
const judge = chain(layout.chainNames.judge, [
  rule(
    say.leavesBy(tunnelDevice),
    say.isTracked, // else it has the pod's own port, and the gateway would take it for a connection
    say.markIn(layout.exitIdMask, layout.setNames.tunnels),
    say.keepMark(layout.exitIdMask), // the id travels; without our bit the packet around it is not steered again
    say.verdict({ code: 'return' }),
  ),
  ...families.map((family) =>
    rule(
      say.sourceIsOfOutput, // first: the lane counts what passes it
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
    say.sourceIsOfOutput, // not the exit's address, which a connection may have from before
    say.verdict({ code: 'return' }),
  ),
  rule(say.counter, say.verdict({ code: 'drop' })),
]);
