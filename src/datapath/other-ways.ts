import { type Address, contains, type Family, type Prefix, prefixLength } from '../base/address.ts';
import type { RouteTaken } from './host.ts';
import * as layout from './layout.ts';
import type { NodeRoute, NodeRule } from './objects.ts';
import { isOurRoute, ourRules } from './ours.ts';
import { routeText, ruleText } from './routing-words.ts';
import { lookupOf } from './tables.ts';

/** The fields of a packet for an exit that policy rules select by. What is absent may be anything. */
export interface MarkedPacket {
  readonly mark: number;
  readonly source?: Address;
  readonly input?: string;
  readonly destination?: Address;
}

/**
 * The kernel's own tables: of the node's addresses, and the number in the rule for VRFs, which stands for each VRF's
 * table.
 */
const [localTable, noTable] = [255, 0];

/**
 * Rules of others that the kernel asks before the one that leads to an exit's table. None when that rule is missing:
 * the missing rule is the fault then.
 *
 * @param rules all of a node, in their order
 */
export function rulesBefore(
  rules: readonly NodeRule[],
  node: layout.NodeNumbers,
  { id, family }: { readonly id: number; readonly family: Family },
): readonly NodeRule[] {
  const own = new Set<NodeRule>(ourRules(rules.filter(isNumbered), node).rules);
  const ofFamily = rules.filter((rule) => rule.family === family);
  const at = ofFamily.findIndex((rule) => own.has(rule) && lookupOf(rule) === node.routeTable + id);
  return ofFamily
    .slice(0, Math.max(at, 0))
    .filter((rule) => !own.has(rule) && lookupOf(rule) !== localTable && lookupOf(rule) !== noTable);
}

const isNumbered = ({ protocol }: NodeRule): boolean => protocol === undefined;

/** Whether a rule may act on a packet, by the selectors that we know. */
export function mayAct(rule: NodeRule, packet: MarkedPacket): boolean {
  const { fwmark, from, to, input, invert, narrower } = rule;
  const { mark, source, destination } = packet;
  const parts: (boolean | undefined)[] = [
    fwmark && (mark & fwmark.mask) >>> 0 === fwmark.value,
    from === undefined || source === undefined ? undefined : contains(from, source),
    to === undefined || destination === undefined ? undefined : contains(to, destination),
    input === undefined || packet.input === undefined ? undefined : input === packet.input,
  ];
  const asked = [fwmark, from, to, input, narrower].filter((part) => part !== undefined).length;
  const matched = parts.filter((part) => part === true).length;
  if (invert) return asked > 0 && matched < asked;
  return !parts.includes(false);
}

/** Whether the rule alone explains the kernel's answer for a packet. */
export function isDecidedBy(rule: NodeRule, answer: RouteTaken | undefined, numbers: layout.NodeNumbers): boolean {
  const { action } = rule;
  const { exits } = layout.rulePriorities(numbers.rulePriority);
  if (answer?.table === undefined) return action === 'unreachable' || (typeof action === 'object' && 'other' in action);
  return typeof action === 'object' && ('goto' in action ? action.goto > exits : lookupOf(rule) === answer.table);
}

/** Whether the longest of the routes for an address makes an error of its packets. */
export function endsInError(routes: readonly NodeRoute[], address: Address): boolean {
  const fitting = routes.filter(({ destination }) => destination === undefined || contains(destination, address));
  const [best] = fitting.sort((a, b) => lengthOf(b) - lengthOf(a) || a.metric - b.metric);
  return best !== undefined && ['unreachable', 'prohibit', 'blackhole'].includes(best.type);
}

const lengthOf = ({ destination }: NodeRoute): number => (destination === undefined ? -1 : prefixLength(destination));

/** Routes of others in an exit's table that come before ours: for fewer destinations, or with a metric that is no worse. */
export const routesBefore = (routes: readonly NodeRoute[]): readonly NodeRoute[] =>
  routes.filter(
    (route) => !isOurRoute(route) && (route.destination !== undefined || route.metric <= layout.exitMetric),
  );

/** A sentence: the effect of somebody else's rule on packets of an exit. */
export function ruleWords(
  exit: string,
  destination: Address,
  rule: NodeRule,
  answer: RouteTaken | undefined,
  { rulePriority }: layout.NodeNumbers,
): string {
  const { skip, end } = layout.rulePriorities(rulePriority);
  const by = answer?.via === undefined ? '' : ` by ${answer.via}`;
  const what =
    answer?.device === undefined || answer.table === undefined ? 'drops them' : `sends them${by} to ${answer.device}`;
  return (
    `packets to ${destination} do not take exit "${exit}": ${ruleText(rule)} comes before our rules, which begin at ` +
    `priority ${skip}, and ${what}; take it away, or give it a priority above ${end}`
  );
}

/** A sentence: the effect of somebody else's route on packets of an exit. */
export const routeWords = (exit: string, route: NodeRoute): string =>
  `packets to ${route.destination ?? wholeOf(route.family)} do not take exit "${exit}" as it is set up: ` +
  `${routeText(route)} in its table is none of ours, and comes before our route; take it away`;

/** Everything of a family. */
export const wholeOf = (family: Family): Prefix => (family === 4 ? '0.0.0.0/0' : '::/0');
