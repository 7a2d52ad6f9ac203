import { type Family, families, familyOf, type Prefix } from '../base/address.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import * as layout from './layout.ts';
import type { IngressMark, PolicyRule, Route } from './objects.ts';

/**
 * Steering that fails closed without nftables. What a pod sends gets a mark where it comes in, by a filter of the interface
 * and not by a chain: our bit, with an id that no exit has. While our chains are there, each packet loses it: to the proof
 * and then to an exit's mark, or to none. When somebody has flushed them it keeps it, or has the proof where only half of
 * ours is gone: then a policy rule leads it to a table that lets it into the ranges that no program steers, and nowhere else.
 */
type Marked = Pick<SteeredAttachment, 'sources' | 'addresses'>;

/** The families of pods that are marked where they come in; none on a node that was set up before pods were. */
export function closedFamilies({ spared }: NodeState, attachments: readonly Marked[]): readonly Family[] {
  if (spared === undefined) return [];
  const addresses = attachments.flatMap(({ sources, addresses }) => (sources === undefined ? [] : addresses));
  return families.filter((family) => addresses.some((address) => familyOf(address) === family));
}

/** The filters at interfaces of pods. */
export function ingressMarks({ fwmark, spared }: NodeState, attachments: readonly Marked[]): IngressMark[] {
  const mark = layout.idMark(fwmark, layout.unjudgedId);
  const devices = spared === undefined ? [] : attachments.flatMap(({ sources }) => sources?.devices ?? []);
  return devices.map((device) => ({ kind: 'ingressMark', device, ...mark }));
}

/** What leads packets that nothing has judged to {@link closedRoutes}, beside the rules of exits. */
export function closedRules({ fwmark, routeTable, rulePriority }: layout.NodeNumbers, family: Family): PolicyRule[] {
  const rule = {
    kind: 'rule',
    family,
    priority: layout.rulePriorities(rulePriority).exits,
    action: { lookup: routeTable + layout.unjudgedId },
  } as const;
  return [layout.unjudgedId, layout.proofId].map((id) => ({ ...rule, fwmark: layout.idMark(fwmark, id) }));
}

/**
 * Ranges that stay open: those that no program steers, and those that a gateway sends answers to. The answers' mark is the
 * proof's, and which of two rules for one mark the kernel asks first is nobody's choice.
 */
export const openRanges = ({ spared = [], gateway }: NodeState): readonly Prefix[] => [
  ...new Set([...spared, ...(gateway?.replies ?? []).map(({ destination }) => destination)]),
];

/** Into the cluster by the routes that are there; nowhere else. */
export function closedRoutes(node: NodeState, closed: readonly Family[]): Route[] {
  const table = node.routeTable + layout.unjudgedId;
  const open = openRanges(node);
  return closed.flatMap((family): Route[] => [
    ...open.filter((range) => familyOf(range) === family).map((destination) => passing(family, table, destination)),
    { kind: 'route', family, table, type: 'unreachable', metric: layout.lastMetric },
  ]);
}

const passing = (family: Family, table: number, destination: Prefix): Route => ({
  kind: 'route',
  family,
  table,
  type: 'throw',
  destination,
  metric: layout.exitMetric,
});
