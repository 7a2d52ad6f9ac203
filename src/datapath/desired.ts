import { type Family, families, familyOf } from '../base/address.ts';
import type { Chain, Element, Hook, NftSet, Rule, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { Match } from '../policy/match.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { ResolvedExit, Way } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject, PolicyRule, Route } from './objects.ts';
import { desiredSent } from './sent.ts';

/** Everything that must be on the node for one attachment to be steered, except what {@link looseReversePath} says. */
export function desired(node: NodeState, attachment: SteeredAttachment): HostObject[] {
  const exits = exitsOf(node, attachment);
  return [
    { kind: 'table' },
    ...desiredBase(node),
    ...exits.flatMap((exit) => desiredExit(node, exit)),
    ...desiredSent(node.fwmark, exits),
    ...policyRules(node, exits),
    ...desiredProgram(node, attachment),
    ...desiredElements(attachment),
  ];
}

/** The configured exits that the attachment's matches use. */
export function exitsOf(node: NodeState, attachment: SteeredAttachment): ResolvedExit[] {
  const names = new Set(attachment.matches.map((match) => match.exit));
  return node.exits.filter((exit) => names.has(exit.name));
}

const rule = (...statements: Statement[]): Rule => ({ statements });
const chain = (name: string, rules: readonly Rule[], hook?: Hook): Chain => ({
  kind: 'chain',
  name,
  rules,
  ...(hook && { hook }),
});

/** What all exits and attachments share: maps and sets, and the chains that packets enter by. */
function desiredBase(node: NodeState): HostObject[] {
  return [
    layout.ownSet,
    ...ownTypes.map((type): Element => ({ kind: 'element', set: layout.setNames.own, key: say.hostHex(type) })),
    ...families.flatMap((family) => [
      layout.podsMap(family),
      layout.snatMap(family),
      layout.lanesSet(family),
      layout.rangesSet(
        layout.setNames.cluster(family),
        family,
        node.clusterCIDRs.filter((cidr) => familyOf(cidr) === family),
      ),
    ]),
    chain(layout.chainNames.drop, [rule(say.counter, say.verdict({ code: 'drop' }))]),
    classify,
    nat(node.fwmark),
    guard(node.fwmark),
  ];
}

/** RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST of linux/rtnetlink.h. */
const ownTypes = [2, 3, 4, 5];

/** Behind destination NAT (-100), so that a Service's real destination is seen. Replies keep the way that they came. */
const classify = chain(
  layout.chainNames.classify,
  [
    rule(say.isReply, say.verdict({ code: 'return' })),
    ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.pods(family)))),
  ],
  { type: 'filter', hook: 'prerouting', priority: -90 },
);

/** Before everybody's masquerade (100): the first binding of a connection wins. */
const nat = (fwmark: number): Chain =>
  chain(
    layout.chainNames.nat,
    [
      rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
      ...families.map((family) => rule(say.snatByMark(family, layout.exitIdMask, layout.setNames.snat(family)))),
    ],
    { type: 'nat', hook: 'postrouting', priority: 95 },
  );

/**
 * Behind all NAT (100): a packet of ours passes only by its exit's interface, with its exit's address, and only while
 * that address is the node's. All else is dropped and counted: connections that were there before the policy, packets
 * that conntrack calls invalid and therefore does not translate, addresses that moved to another node.
 */
const guard = (fwmark: number): Chain =>
  chain(
    layout.chainNames.guard,
    [
      rule(say.markWithout(fwmark), say.verdict({ code: 'return' })),
      ...families.map((family) =>
        rule(
          say.sourceIsLocal, // first: the lane counts what passes it
          say.markDeviceSourceIn(family, layout.exitIdMask, layout.setNames.lanes(family)),
          say.verdict({ code: 'return' }),
        ),
      ),
      rule(say.counter, say.verdict({ code: 'drop' })),
    ],
    { type: 'filter', hook: 'postrouting', priority: 101 },
  );

/** What one exit needs on top of {@link desiredBase}. */
function desiredExit(node: NodeState, exit: ResolvedExit): HostObject[] {
  const steer = say.setMark((node.fwmark | layout.exitIdMask) >>> 0, (node.fwmark | exit.id) >>> 0);
  return [
    chain(layout.chainNames.exit(exit.id), [{ statements: [say.counter, steer], comment: exit.name }]),
    ...exit.ways.flatMap((way) => [...wayElements(exit, way), ...wayRoutes(node, exit, way)]),
  ];
}

const wayElements = (exit: ResolvedExit, { family, address }: Way): Element[] => [
  {
    kind: 'element',
    set: layout.setNames.snat(family),
    key: layout.exitKey(exit.id),
    value: layout.addressHex(address),
  },
  { kind: 'element', set: layout.setNames.lanes(family), key: layout.laneKey(exit.id, exit.device, address) },
];

/** The kernel's own default for IPv6; the same for both families keeps one number in what people see. */
const exitMetric = 1024;
/** The worst there is: chosen only when nothing else is left. */
const lastMetric = 0xffffffff;

function wayRoutes(node: NodeState, exit: ResolvedExit, { family, via }: Way): Route[] {
  const table = node.routeTable + exit.id;
  return [
    { kind: 'route', family, table, type: 'unicast', device: exit.device, metric: exitMetric, ...(via && { via }) },
    { kind: 'route', family, table, type: 'unreachable', metric: lastMetric },
  ];
}

/** One rule jumps over all exits for packets that are not ours, so that they cost one comparison however many there are. */
function policyRules(node: NodeState, exits: readonly ResolvedExit[]): PolicyRule[] {
  const { skip, exits: priority, end } = layout.rulePriorities(node.rulePriority);
  const inUse = families.filter((family) => exits.some((exit) => exit.ways.some((way) => way.family === family)));
  return inUse.flatMap((family): PolicyRule[] => [
    {
      kind: 'rule',
      family,
      priority: skip,
      action: { goto: end },
      fwmark: { value: node.fwmark, mask: node.fwmark },
      invert: true,
    },
    ...exits
      .filter((exit) => exit.ways.some((way) => way.family === family))
      .map(
        (exit): PolicyRule => ({
          kind: 'rule',
          family,
          priority,
          action: { lookup: node.routeTable + exit.id },
          fwmark: { value: (node.fwmark | exit.id) >>> 0, mask: (node.fwmark | layout.exitIdMask) >>> 0 },
        }),
      ),
    { kind: 'rule', family, priority: end, action: 'nop' },
  ]);
}

/** The attachment's program: one chain, and a set for each list of ranges in it. */
function desiredProgram(node: NodeState, attachment: SteeredAttachment): HostObject[] {
  const sets: NftSet[] = [];
  const rangesOf = (suffix: string, family: Family, ranges: readonly string[]): string => {
    const name = `${attachment.program}-${suffix}`;
    sets.push(layout.rangesSet(name, family, ranges));
    return name;
  };
  const done = say.verdict({ code: 'return' });
  const rules = [
    rule(say.destinationTypeIn(layout.setNames.own), done),
    ...families.map((family) =>
      rule(say.destinationIn(family, layout.setNames.cluster(family), { first: true }), done),
    ),
    ...families.flatMap((family) => {
      const subnets = attachment.subnets.filter((subnet) => familyOf(subnet) === family);
      if (subnets.length === 0) return [];
      return [rule(say.destinationIn(family, rangesOf(`subnets${family}`, family, subnets), { first: true }), done)];
    }),
    ...attachment.matches.map((match, i) =>
      rule(
        ...matchStatements(match, (suffix, ranges) => rangesOf(`${i + 1}${suffix}`, match.family, ranges)),
        verdictOf(node, match),
      ),
    ),
  ];
  return [...sets, chain(attachment.program, rules)];
}

function matchStatements(match: Match, setOf: (suffix: string, ranges: readonly string[]) => string): Statement[] {
  const everywhere = match.destinations.some((destination) => destination.endsWith('/0'));
  const { family, except } = match;
  return [
    everywhere ? say.family(family) : say.destinationIn(family, setOf('', match.destinations), { first: true }),
    ...(except.length > 0 ? [say.destinationIn(family, setOf('-except', except), { first: false, not: true })] : []),
  ];
}

function verdictOf(node: NodeState, match: Match): Statement {
  if (match.exit === 'node') return say.verdict({ code: 'return' });
  const exit = node.exits.find(({ name }) => name === match.exit);
  // A family that the exit lacks is dropped: left alone it would leak with the node's address.
  const hasFamily = exit?.ways.some((way) => way.family === match.family);
  return say.verdict({
    code: 'goto',
    chain: exit && hasFamily ? layout.chainNames.exit(exit.id) : layout.chainNames.drop,
  });
}

/** The attachment's addresses: what makes packets go through its program. Written last. */
function desiredElements(attachment: SteeredAttachment): Element[] {
  return attachment.addresses.map((address) => ({
    kind: 'element',
    set: layout.setNames.pods(familyOf(address)),
    key: layout.addressHex(address),
    verdict: { code: 'goto', chain: attachment.program },
    comment: attachment.mark,
  }));
}
