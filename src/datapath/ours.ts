import type { Chain, NftSet } from '../nftables/object.ts';
import * as layout from './layout.ts';
import type { NodeRoute, NodeRule, PolicyRule, Route } from './objects.ts';
import { lookupOf } from './tables.ts';
import { tunnelDevice } from './tunnel.ts';
import { wayBackPriority } from './way-back.ts';

/**
 * Our objects are known by more than number or name: others may use both. It has exactly a shape that we make. The rest
 * is told to people and left alone.
 */

/** Splits rules with our number into ours and others', in their order. Without `numbers` ours may have any. */
export function ourRules(
  numbered: readonly NodeRule[],
  numbers?: layout.NodeNumbers,
): { readonly rules: readonly PolicyRule[]; readonly others: readonly NodeRule[] } {
  const shaped = numbered.filter((rule) => isPlain(rule) && isShaped(rule, numbers));
  const isLanding = (rule: NodeRule) => isBareEnd(rule) && landings(shaped, rule.family, numbers).has(rule.priority);
  const isOurs = (rule: NodeRule) => shaped.includes(rule) || isLanding(rule);
  return {
    rules: numbered.filter(isOurs) as readonly PolicyRule[],
    others: numbered.filter((rule) => !isOurs(rule)),
  };
}

const isPlain = ({ from, to, narrower }: NodeRule): boolean =>
  from === undefined && to === undefined && narrower === undefined;

/** A landing looks at nothing. */
const isBareEnd = (rule: NodeRule): boolean =>
  isPlain(rule) && rule.action === 'nop' && rule.fwmark === undefined && rule.input === undefined && !rule.invert;

/** All but the rules that jumps land on: those are told only by the jumps. */
const isShaped = (rule: NodeRule, numbers?: layout.NodeNumbers): boolean =>
  isJump(rule, numbers) || isLookup(rule, numbers) || isWayBack(rule, numbers) || isStray(rule, numbers);

/** Jumps over the exits for packets without our bit, and over the rules of the tunnel for packets without an id. */
function isJump({ priority, action, fwmark, invert, input }: NodeRule, numbers?: layout.NodeNumbers): boolean {
  if (typeof action !== 'object' || !('goto' in action) || fwmark === undefined || input !== undefined) return false;
  const { value, mask } = fwmark;
  const isSkip = invert === true && value === mask && isBit(mask);
  const isNoExit = invert === undefined && value === 0 && mask === layout.exitIdMask;
  if (action.goto !== priority + 2) return false;
  if (numbers === undefined) return isSkip || isNoExit;
  const { skip } = layout.rulePriorities(numbers.rulePriority);
  const { noExit } = layout.tunnelPriorities(numbers.rulePriority);
  return (isSkip && priority === skip) || (isNoExit && priority === noExit);
}

function isLookup(rule: NodeRule, numbers?: layout.NodeNumbers): boolean {
  const id = idIn(rule, 'ours');
  const isInPlace = !numbers || rule.priority === layout.rulePriorities(numbers.rulePriority).exits;
  if (id === undefined || !isInPlace) return false;
  return isTableOf(rule, id, numbers) || (id === 0 && isTableOf(rule, layout.unjudgedId, numbers)); // of the proof
}

function isWayBack(rule: NodeRule, numbers?: layout.NodeNumbers): boolean {
  const id = idIn(rule, 'answers');
  return id !== undefined && id > 0 && rule.priority === wayBackPriority && isTableOf(rule, id, numbers);
}

function isStray({ priority, action, fwmark, invert, input }: NodeRule, numbers?: layout.NodeNumbers): boolean {
  if (action !== 'unreachable' || input !== tunnelDevice || invert || fwmark?.value !== 0) return false;
  const isInPlace = !numbers || priority === layout.tunnelPriorities(numbers.rulePriority).stray;
  return isInPlace && isBit(fwmark.mask);
}

/** The exit that a rule asks the mark for: with the bit that says "ours", or without it, as answers have it. */
function idIn({ fwmark, invert, input }: NodeRule, whose: 'ours' | 'answers'): number | undefined {
  if (fwmark === undefined || invert || input !== undefined) return undefined;
  const bit = (fwmark.mask & ~layout.exitIdMask) >>> 0;
  const id = fwmark.value & layout.exitIdMask;
  const isWhole = (fwmark.mask & layout.exitIdMask) === layout.exitIdMask && isBit(bit);
  return isWhole && fwmark.value === ((whose === 'ours' ? bit : 0) | id) >>> 0 ? id : undefined;
}

function isTableOf(rule: NodeRule, id: number, numbers?: layout.NodeNumbers): boolean {
  const table = lookupOf(rule);
  if (table === undefined) return false;
  return numbers === undefined ? table > id : table === numbers.routeTable + id;
}

/** One bit that is none of an exit's id. */
const isBit = (mask: number): boolean => mask !== 0 && (mask & (mask - 1)) === 0 && (mask & layout.exitIdMask) === 0;

/** Where rules of ours jump to, or did before an end of ours that was killed. */
function landings(shaped: readonly NodeRule[], family: NodeRule['family'], numbers?: layout.NodeNumbers): Set<number> {
  if (numbers !== undefined) {
    const { rulePriority } = numbers;
    return new Set([layout.rulePriorities(rulePriority).end, layout.tunnelPriorities(rulePriority).end]);
  }
  const own = shaped.filter((rule) => rule.family === family);
  return new Set(
    own.flatMap((rule) => {
      if (typeof rule.action === 'object' && 'goto' in rule.action) return [rule.action.goto];
      return rule.priority === wayBackPriority ? [] : [rule.priority + 1];
    }),
  );
}

/** Whether a route with our number in an exit's table is ours. */
export function isOurRoute(route: NodeRoute): route is Route {
  const { type, destination, device, via, onlink, metric } = route;
  if (route.protocol !== undefined || route.narrower || route.several) return false;
  if (type === 'unreachable') return destination === undefined && metric === layout.lastMetric;
  if (type === 'throw') return destination !== undefined && metric === layout.exitMetric;
  if (type !== 'unicast' || device === undefined || metric !== layout.exitMetric) return false;
  const isReply = device === tunnelDevice && via !== undefined && onlink === true;
  return destination === undefined || via === undefined || isReply;
}

/** Whether a table with our name is ours: no chain or set of ours is ever there without another. */
export const isOurTable = (chains: readonly Pick<Chain, 'name'>[], sets: readonly Pick<NftSet, 'name'>[]): boolean =>
  chains.some(({ name }) => layout.isOurChain(name)) || sets.some(({ name }) => ownSets.includes(name));

/** In each family one that is there as long as the table is, or else chains are. */
const ownSets: readonly string[] = [layout.setNames.own, layout.setNames.sent];
