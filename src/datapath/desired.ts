import { type Family, families, familyOf } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import { answersBase, desiredAnswers } from './answers.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { ResolvedExit, Way } from './exit.ts';
import { desiredGateway, replyRoutes } from './gateway.ts';
import * as layout from './layout.ts';
import type { Needs } from './needs.ts';
import type { HostObject, PolicyRule, Route } from './objects.ts';
import { desiredPorts } from './ports.ts';
import { desiredProgram } from './program.ts';
import { desiredSent } from './sent.ts';
import {
  classifyPods,
  classifySources,
  desiredSourceBase,
  desiredSources,
  desiredUplinks,
  isChecked,
} from './sources.ts';
import { desiredTranslation } from './translation.ts';
import { desiredTunnel, nextHopOf, tunnelDevice } from './tunnel.ts';

/** Everything that must be on the node for what `needs` names, except what {@link looseReversePath} says. */
export function desired(
  node: NodeState,
  { exits, tunnel, gateway, attachment, fellows = [], checked = [], ports }: Needs,
): HostObject[] {
  return [
    { kind: 'table' },
    ...desiredBase(node),
    ...(tunnel ? desiredTunnel(node, tunnel) : []),
    ...exits.flatMap((exit) => desiredExit(node, exit)),
    ...desiredPorts(exits, ports),
    ...desiredUplinks(exits),
    ...(exits.length > 0 || checked.some(isChecked) ? [layout.sentTable] : []),
    ...desiredSent(node.fwmark, exits),
    ...(gateway ? desiredGateway(node, gateway, exits) : []),
    ...policyRules(node, lookupsOf(node, exits, gateway)),
    ...desiredSources(node.fwmark, checked),
    ...(attachment ? desiredProgram(node, attachment) : []),
    ...[...(attachment ? [attachment] : []), ...fellows].flatMap((one) => desiredElements(one, exits)),
  ];
}

/** What all exits and attachments share: maps and sets, and the chains that packets enter by. */
function desiredBase(node: NodeState): HostObject[] {
  return [
    layout.ownSet,
    ...ownTypes.map((type): Element => ({ kind: 'element', set: layout.setNames.own, key: say.hostHex(type) })),
    ...families.flatMap((family) => [
      ...layout.podSets(family),
      layout.snatMap(family),
      layout.blocksMap(family),
      layout.lanesSet(family),
    ]),
    layout.tunnelsSet,
    layout.fallbackSet,
    layout.elsewhereSet,
    layout.spreadMap,
    chain(layout.chainNames.drop, [rule(say.counter, say.verdict({ code: 'drop' }))]),
    midStream,
    ...answersBase(node),
    ...desiredSourceBase(node.fwmark),
    classify(node.fwmark),
    decide,
    unmarked(node.fwmark),
    nat(node.fwmark),
    guard(node.fwmark),
  ];
}

/** RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST of linux/rtnetlink.h. */
const ownTypes = [2, 3, 4, 5];

/**
 * Conntrack must not take an answer of a connection that it has forgotten for the begin of one: it would call the pod's
 * packets replies, and they would leave on an ordinary way. With the pod's next packet it knows the connection again.
 */
const midStream = chain(
  layout.chainNames.midStream,
  families.map((family) =>
    rule(
      say.destinationIn(family, layout.setNames.answered(family), { first: true }),
      say.counter,
      say.verdict({ code: 'drop' }),
    ),
  ),
);

/**
 * Behind destination NAT (-100), so that a Service's real destination is seen. Replies take the node's routes, but for those
 * of a Service that has an exit's address.
 */
const classify = (fwmark: number): Chain =>
  chain(
    layout.chainNames.classify,
    [
      rule(say.isMidStream, say.verdict({ code: 'jump', chain: layout.chainNames.midStream })),
      ...classifySources(fwmark),
      ...classifyPods,
      rule(say.isNew, say.verdict({ code: 'jump', chain: layout.chainNames.inbound })),
    ],
    { type: 'filter', hook: 'prerouting', priority: -90 },
  );

/**
 * Decides again by the pod that the connection began at, or that sent a packet without a connection: destination and
 * protocol are what {@link classify} saw, and the pod's elements here do not count. Leaves packets of others alone.
 */
const decide = chain(layout.chainNames.decide, [
  ...families.map((family) => rule(say.originVerdict(family, layout.setNames.programs(family)))),
  rule(say.isTracked, say.verdict({ code: 'return' })),
  ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.programs(family)))),
]);

/**
 * Packets without our mark, behind the hooks in which others can have taken it: those of steered pods get it back and are
 * counted. Of one that came out of the tunnel nobody here can tell the exit: unless it is an answer, it is dropped.
 */
const unmarked = (fwmark: number): Chain =>
  chain(layout.chainNames.unmarked, [
    rule(say.isReply, say.verdict({ code: 'return' })),
    // Packets around those in the tunnel: the kernel has them come in by its device.
    rule(say.arrivesBy(tunnelDevice), say.isUntracked, say.verdict({ code: 'return' })),
    rule(say.arrivesBy(tunnelDevice), say.counter, say.verdict({ code: 'drop' })),
    rule(say.verdict({ code: 'jump', chain: layout.chainNames.decide })),
    rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
    rule(say.counter),
  ]);

/**
 * Before everybody's masquerade (100): the first binding of a connection wins. Only a connection's first packet comes
 * here, so its mark is not believed: whatever it says, the pod's program decides again. With an id that no exit has, a
 * packet gets no address, and {@link guard} drops it. Inside the tunnel a packet keeps the pod's address: the gateway
 * gives it another.
 */
const nat = (fwmark: number): Chain =>
  chain(
    layout.chainNames.nat,
    [
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

/**
 * Behind all others: a packet of ours passes only by its exit's interface, with its exit's address, and only while
 * that interface has the address (or, if the exit says so, any of the node's: others hold addresses of the whole cluster
 * on interfaces that lead nowhere); or into the tunnel, if that is its exit's way. All else is dropped and counted: connections
 * that were there before the policy, packets that conntrack calls invalid and therefore does not translate, addresses
 * that moved to another node. An exit may say that its packets leave with the node's own address when it has no route.
 */
const guard = (fwmark: number): Chain =>
  chain(
    layout.chainNames.guard,
    [
      rule(say.markWithout(fwmark), say.verdict({ code: 'jump', chain: layout.chainNames.unmarked })),
      rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
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
    ],
    { type: 'filter', hook: 'postrouting', priority: behindAll },
  );

/** What one exit needs on top of {@link desiredBase}. */
function desiredExit(node: NodeState, exit: ResolvedExit): HostObject[] {
  const steer = say.setMark((node.fwmark | layout.exitIdMask) >>> 0, (node.fwmark | exit.id) >>> 0);
  const drop = say.verdict({ code: 'goto', chain: layout.chainNames.drop });
  // Here and not in programs: an exit that gains or loses a family changes for all its pods at once.
  const lacking = families.filter((family) => !exit.ways.some((way) => way.family === family));
  return [
    chain(layout.chainNames.exit(exit.id), [
      ...lacking.map((family) => rule(say.family(family), drop)),
      rule(say.isBeforeRouting, say.counter), // not again when it is decided again
      { statements: [steer], comment: exit.name },
    ]),
    ...(exit.gateway === undefined ? desiredTranslation(exit) : [exitElement(layout.setNames.tunnels, exit)]),
    ...(exit.onUnavailable === 'node' ? [exitElement(layout.setNames.fallback, exit)] : []),
    ...(exit.addressesOn !== undefined ? [exitElement(layout.setNames.elsewhere, exit)] : []),
    ...desiredAnswers(node, exit),
    ...exit.ways.flatMap((way) => wayRoutes(node, exit, way)),
  ];
}

const exitElement = (set: string, { id }: ResolvedExit): Element => ({
  kind: 'element',
  set,
  key: layout.exitKey(id),
});

/** The kernel's own default for IPv6; the same for both families keeps one number in what people see. */
const exitMetric = 1024;
/** The worst there is: chosen only when nothing else is left. */
const lastMetric = 0xffffffff;

function wayRoutes(node: NodeState, exit: ResolvedExit, { family, via, onlink, networks = [] }: Way): Route[] {
  const table = node.routeTable + exit.id;
  const route = { kind: 'route', family, table, type: 'unicast', device: exit.device, metric: exitMetric } as const;
  const towards = exit.gateway
    ? { via: nextHopOf(exit.gateway, family), onlink: true as const }
    : via && { via, ...(onlink && { onlink }) };
  return [
    { ...route, ...towards },
    ...networks.map((destination) => ({ ...route, destination })),
    ...(exit.onUnavailable === 'node'
      ? [] // the packet goes on to the rules behind ours
      : [{ kind: 'route', family, table, type: 'unreachable', metric: lastMetric } as const]),
  ];
}

/** A table that a mark leads to: that of an exit, or that of a gateway's answers. */
interface Lookup {
  readonly id: number;
  readonly families: readonly Family[];
}

function lookupsOf(node: NodeState, exits: readonly ResolvedExit[], gateway: Needs['gateway']): Lookup[] {
  const replies = gateway ? replyRoutes(node, gateway).map(({ family }) => family) : [];
  return [
    { id: layout.replyId, families: replies },
    ...exits.map(({ id, ways }) => ({ id, families: ways.map(({ family }) => family) })),
  ];
}

/** One rule jumps over all exits for packets that are not ours, so that they cost one comparison however many there are. */
function policyRules(node: NodeState, lookups: readonly Lookup[]): PolicyRule[] {
  const { skip, exits: priority, end } = layout.rulePriorities(node.rulePriority);
  const inUse = families.filter((family) => lookups.some((lookup) => lookup.families.includes(family)));
  return inUse.flatMap((family): PolicyRule[] => [
    {
      kind: 'rule',
      family,
      priority: skip,
      action: { goto: end },
      fwmark: { value: node.fwmark, mask: node.fwmark },
      invert: true,
    },
    ...lookups
      .filter((lookup) => lookup.families.includes(family))
      .map(
        ({ id }): PolicyRule => ({
          kind: 'rule',
          family,
          priority,
          action: { lookup: node.routeTable + id },
          fwmark: { value: (node.fwmark | id) >>> 0, mask: (node.fwmark | layout.exitIdMask) >>> 0 },
        }),
      ),
    { kind: 'rule', family, priority: end, action: 'nop' },
  ]);
}

/** The attachment's addresses: what makes packets go through its program. Written last. */
function desiredElements(
  { addresses, program, mark, sources }: SteeredAttachment,
  exits: readonly ResolvedExit[],
): Element[] {
  const isShared = exits.some(({ shared }) => shared === true);
  return addresses.flatMap((address): Element[] => {
    const element = { kind: 'element', key: layout.addressHex(address), comment: mark } as const;
    const family = familyOf(address);
    return [
      ...(isShared ? [{ ...element, set: layout.setNames.answered(family) }] : []),
      ...(sources ? [{ ...element, set: layout.setNames.checked(family) }] : []),
      { ...element, set: layout.setNames.programs(family), verdict: { code: 'goto', chain: program } },
      { ...element, set: layout.setNames.pods(family), verdict: { code: 'goto', chain: program } },
    ];
  });
}
