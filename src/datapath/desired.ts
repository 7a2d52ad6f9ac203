import { type Address, type Family, families, familyOf } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import { answersBase, desiredAnswers, local } from './answers.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import { branchesOf, desiredClassify } from './classify.ts';
import { desiredEgressCounters } from './egress-counters.ts';
import type { ResolvedExit, Way } from './exit.ts';
import { desiredFastJudge } from './fast-path.ts';
import { desiredGateway, gatewayChains, gatewaySets, replyRoutes, unasked } from './gateway.ts';
import { desiredGuard } from './guard.ts';
import { entryChainOf, heldElements } from './held.ts';
import * as layout from './layout.ts';
import type { Needs } from './needs.ts';
import type { HostObject, PolicyRule, Route } from './objects.ts';
import { desiredPorts } from './ports.ts';
import { desiredEntry, desiredProgram } from './program.ts';
import { desiredSources, desiredUplinks, isChecked, oneOfEachEntry, uplink } from './sources.ts';
import { desiredTranslation } from './translation.ts';
import { desiredTunnel, nextHopOf, tunnelChains, tunnelDevice, tunnelSets } from './tunnel.ts';
import { closedRoutes, closedRules, ingressMarks } from './unjudged.ts';

/** Everything that must be on the node for what `needs` names, except what {@link looseReversePath} says. */
export function desired(
  node: NodeState,
  { exits, tunnel, gateway, attachment, fellows = [], checked = [], closed = [], ports }: Needs,
): HostObject[] {
  return [
    { kind: 'table' },
    ...desiredBase(node),
    ...(tunnel ? desiredTunnel(node, tunnel) : []),
    ...exits.flatMap((exit) => desiredExit(node, exit)),
    ...desiredPorts(exits, ports),
    ...desiredUplinks(exits),
    ...(exits.length > 0 || checked.some(isChecked) ? [layout.netdevTable] : []),
    ...desiredEgressCounters(node, exits),
    ...(gateway ? desiredGateway(node, gateway, exits) : []),
    ...policyRulesOf(node, { exits, closed, ...(gateway && { gateway }) }),
    ...closedRoutes(node, closed),
    ...ingressMarks(node, checked),
    ...desiredSources(node, checked),
    ...(attachment ? desiredProgram(node, attachment) : []),
    ...oneOfEachEntry(checked).map((one) => desiredEntry(node, one)),
    ...[...(attachment ? [attachment] : []), ...fellows].flatMap((one) => [
      ...heldElements(one, node.exits),
      ...podElements(one, exits),
    ]),
  ];
}

/**
 * What all exits and attachments share: maps and sets, and the chains that packets enter by. These lead to chains of the tunnel
 * and of a gateway, so that a node with one has its chains whatever is needed.
 */
function desiredBase(node: NodeState): HostObject[] {
  const { tunnel, gateway } = node;
  const chains = [...(tunnel ? tunnelChains(node, tunnel) : []), ...(gateway ? gatewayChains(node) : [])];
  return [
    ...(tunnel ? tunnelSets(tunnel) : []),
    ...(gateway ? gatewaySets(node, gateway) : []),
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
    layout.heldMap,
    layout.uplinksSet,
    uplink(tunnelDevice),
    chain(layout.chainNames.drop, [rule(say.counter, say.verdict({ code: 'drop' }))]),
    ...answersBase(node),
    ...(gateway ? [unasked] : []),
    local(branchesOf(node)),
    ...desiredClassify(node, chains),
    ...desiredGuard(node),
    ...desiredFastJudge(node),
  ];
}

/** RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST of linux/rtnetlink.h. */
const ownTypes = [2, 3, 4, 5];

/** What one exit needs on top of {@link desiredBase}. */
function desiredExit(node: NodeState, exit: ResolvedExit): HostObject[] {
  const { mask, value } = layout.idMark(node.fwmark, exit.id);
  const drop = say.verdict({ code: 'goto', chain: layout.chainNames.drop });
  // Here and not in programs: an exit that gains or loses a family changes for all its pods at once.
  const lacking = families.filter((family) => !exit.ways.some((way) => way.family === family));
  return [
    chain(layout.chainNames.exit(exit.id), [
      ...lacking.map((family) => rule(say.family(family), drop)),
      rule(say.isBeforeRouting, say.counter), // not again when it is decided again
      { statements: [say.setMark(mask, value)], comment: exit.name },
    ]),
    ...(exit.gateway === undefined ? desiredTranslation(exit) : [exitElement(layout.setNames.tunnels, exit)]),
    ...(exit.onUnavailable === 'node' ? [exitElement(layout.setNames.fallback, exit)] : []),
    ...(exit.addressesOn !== undefined ? [exitElement(layout.setNames.elsewhere, exit)] : []),
    ...desiredAnswers(node, exit),
    ...exitRoutes(node, exit),
  ];
}

const exitElement = (set: string, { id }: ResolvedExit): Element => ({
  kind: 'element',
  set,
  key: layout.exitKey(id),
});

/** The routes of an exit's table. */
export const exitRoutes = (node: Pick<NodeState, 'routeTable'>, exit: ResolvedExit): readonly Route[] =>
  exit.ways.flatMap((way) => wayRoutes(node, exit, way));

function wayRoutes(
  node: Pick<NodeState, 'routeTable'>,
  exit: ResolvedExit,
  { family, via, onlink, networks = [] }: Way,
): Route[] {
  const table = node.routeTable + exit.id;
  const route = {
    kind: 'route',
    family,
    table,
    type: 'unicast',
    device: exit.device,
    metric: layout.exitMetric,
  } as const;
  const towards = exit.gateway
    ? { via: nextHopOf(exit.gateway, family), onlink: true as const }
    : via && { via, ...(onlink && { onlink }) };
  return [
    { ...route, ...towards },
    ...networks.map((destination) => ({ ...route, destination })),
    ...(exit.onUnavailable === 'node'
      ? [] // the packet goes on to the rules behind ours
      : [{ kind: 'route', family, table, type: 'unreachable', metric: layout.lastMetric } as const]),
  ];
}

/** A table that a mark leads to: an exit's, or the one for a gateway's answers. */
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

/** The policy rules of exits, and of a gateway's answers. */
export const policyRulesOf = (
  node: NodeState,
  { exits, gateway, closed = [] }: Pick<Needs, 'exits' | 'gateway' | 'closed'>,
): PolicyRule[] => policyRules(node, lookupsOf(node, exits, gateway), closed);

/** One rule jumps over all exits for packets that are not ours, so that they cost one comparison however many there are. */
function policyRules(node: NodeState, lookups: readonly Lookup[], closed: readonly Family[]): PolicyRule[] {
  const { skip, exits: priority, end } = layout.rulePriorities(node.rulePriority);
  const inUse = families.filter(
    (family) => closed.includes(family) || lookups.some((lookup) => lookup.families.includes(family)),
  );
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
          fwmark: layout.idMark(node.fwmark, id),
        }),
      ),
    ...(closed.includes(family) ? closedRules(node, family) : []),
    { kind: 'rule', family, priority: end, action: 'nop' },
  ]);
}

/** The attachment's addresses: what makes packets go through its program. Written last. */
export function podElements(attachment: SteeredAttachment, exits: readonly ResolvedExit[]): Element[] {
  const { addresses, program, mark, sources } = attachment;
  const isShared = exits.some(({ shared }) => shared === true);
  return addresses.flatMap((address): Element[] => {
    const element = { kind: 'element', key: layout.addressHex(address), comment: mark } as const;
    const family = familyOf(address);
    return [
      ...(isShared ? [{ ...element, set: layout.setNames.answered(family) }] : []),
      ...(sources ? [{ ...element, set: layout.setNames.checked(family) }] : []),
      ...(sources?.others.length === 0 ? [endsElement(address, mark)] : []),
      { ...element, set: layout.setNames.steered(family) },
      { ...element, set: layout.setNames.programs(family), verdict: { code: 'goto', chain: program } },
      {
        ...element,
        set: layout.setNames.pods(family),
        verdict: { code: 'goto', chain: entryChainOf(attachment) },
      },
    ];
  });
}

/** Pods that send in the name of others rightly may tell of the connections of those, too: they have none. */
const endsElement = (address: Address, mark: string): Element => {
  const set = layout.endsSet(familyOf(address));
  return { kind: 'element', set: set.name, key: layout.podKey(set, address), comment: mark };
};
