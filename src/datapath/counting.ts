import type { Element } from '../nftables/object.ts';
import { type Change, keyOf } from './difference.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';

/**
 * Adds changes so that the two counters of an exit begin together: its chain counts the packets it was given, an
 * element those that left. When one of them is made anew, or the chain that feeds it, the other begins anew in the same
 * transaction. Otherwise their difference would show packets that were never dropped.
 */
export function countedTogether(changes: readonly Change[], wanted: readonly HostObject[]): Change[] {
  const changed = new Set(changes.map(({ object }) => keyOf(object)));
  if (changed.size === 0) return [];
  const counters = countersOf(wanted);
  const feeders = wanted.filter((object) => object.kind === 'chain' && object.family !== undefined).map(keyOf);
  const isAnew = (object: HostObject): boolean =>
    changed.has(keyOf(object)) || feedersOf(object).some((key) => feeders.includes(key) && changed.has(key));
  const resets = [...counters.values()]
    .filter((ofExit) => ofExit.some(isAnew))
    .flatMap((ofExit) => ofExit.filter((object) => !changed.has(keyOf(object))));
  return [...changes, ...resets.map((object): Change => ({ verb: 'replace', object, observed: object }))];
}

/** By the id of the exit: its chain, and the elements that count leaving packets, in the order of `wanted`. */
function countersOf(wanted: readonly HostObject[]): ReadonlyMap<number, readonly HostObject[]> {
  const hasHook = wanted.some((object) => object.kind === 'element' && object.set === layout.setNames.sent);
  const counters = new Map<number, HostObject[]>();
  for (const object of wanted) {
    const id = exitIdOf(object, hasHook ? [layout.setNames.sent] : withoutHook);
    if (id !== undefined) counters.set(id, [...(counters.get(id) ?? []), object]);
  }
  return counters;
}

/** The counters without the egress hook. */
const withoutHook: readonly string[] = [layout.setNames.tunnels, layout.setNames.lanes(4), layout.setNames.lanes(6)];

function exitIdOf(object: HostObject, sets: readonly string[]): number | undefined {
  if (object.kind === 'chain') return object.family === undefined ? layout.exitIdOfChain(object.name) : undefined;
  return object.kind === 'element' && sets.includes(object.set) ? layout.exitIdOfKey(object.key) : undefined;
}

/** Keys of the chains whose packets an element counts. */
function feedersOf(object: HostObject): string[] {
  if (object.kind !== 'element' || object.set !== layout.setNames.sent) return [];
  const { family }: Element = object;
  return [[family, 'chain', layout.chainNames.sent(layout.deviceOfKey(object.key))].join(' ')];
}

/** Whether a change only lets something count from nothing again. */
export const isReset = (change: Change): boolean => change.verb === 'replace' && change.object === change.observed;
