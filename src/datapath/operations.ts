import { canonicalJson } from '../base/canonical.ts';
import type { NftSet, Operation } from '../nftables/object.ts';
import type { Change } from './difference.ts';
import { addressMaps, exitIdOfPart, nodeSets } from './layout.ts';
import type { HostObject, OutsideObject } from './objects.ts';

/** Changes by who makes them and when. What steers goes up before what sends packets to it, and comes down after. */
export interface Plan {
  /** Devices, addresses, parameters, routes and rules to set up, before the transaction. */
  readonly before: readonly OutsideObject[];
  /** One nftables transaction. */
  readonly transaction: readonly Operation[];
  /** Sets whose elements the transaction may name without adding the set: their types tell what the bytes are. */
  readonly sets: readonly NftSet[];
  /** The same to take down, and parameters to put back, after the transaction. */
  readonly after: readonly OutsideObject[];
}

/** A device before what is on it, what leads somewhere before what leads to that. */
const setUpFirst: { readonly [K in OutsideObject['kind']]: number } = {
  tunnel: 0,
  address: 1,
  behind: 2,
  sysctl: 3,
  neighbour: 4,
  forwarding: 5,
  route: 6,
  rule: 7,
};

const isOutside = (object: HostObject): object is OutsideObject => object.kind in setUpFirst;

/** Puts changes in the order in which no packet can take a way that is not there yet, or not there any more. */
export function planOf(changes: readonly Change[]): Plan {
  const outside = (remove: boolean) =>
    changes
      .filter(({ verb }) => (verb === 'remove') === remove)
      .map(({ object }) => object)
      .filter(isOutside);
  const gone = changes.filter(({ verb }) => verb === 'remove');
  const kept = changes.filter(({ verb }) => verb !== 'remove');
  const order = (a: OutsideObject, b: OutsideObject) => setUpFirst[a.kind] - setUpFirst[b.kind];
  return {
    before: outside(false).sort(order),
    transaction: [...kept, ...gone.sort(removeFirst)].flatMap(operationsOf),
    sets: [...nodeSets, ...addressMapsOf(changes)],
    after: outside(true).sort((a, b) => order(b, a)),
  };
}

/** What leads to others goes before them: elements to chains, the rules of chains to sets. */
const removed: Partial<Record<HostObject['kind'], number>> = { element: 0, chain: 1, set: 2, table: 3 };
const removeFirst = (a: Change, b: Change) => (removed[a.object.kind] ?? 0) - (removed[b.object.kind] ?? 0);

const addressMapsOf = (changes: readonly Change[]): readonly NftSet[] => {
  const ids = changes.flatMap(({ object }) => (object.kind === 'element' ? (exitIdOfPart(object.set) ?? []) : []));
  return [...new Set(ids)].flatMap(addressMaps);
};

function operationsOf(change: Change): Operation[] {
  const { object } = change;
  if (isOutside(object)) return [];
  if (change.verb === 'add') return [{ verb: 'add', object }];
  if (change.verb === 'remove') return [{ verb: 'delete', object }];
  return replacing(object, change.observed);
}

/** Sets and chains keep their identity, others lead to them; only their content is written anew. */
function replacing(object: Exclude<HostObject, OutsideObject>, observed: HostObject): Operation[] {
  const asNew = [
    { verb: 'delete', object },
    { verb: 'add', object },
  ] as const;
  if (object.kind === 'table' || object.kind === 'element') return [...asNew];
  const sameShape = canonicalJson(shapeOf(object)) === canonicalJson(shapeOf(observed));
  return sameShape
    ? [
        { verb: 'flush', object },
        { verb: 'add', object },
      ]
    : [...asNew];
}

/** What of a set or chain cannot be changed while it exists. */
function shapeOf(object: HostObject): unknown {
  if (object.kind === 'chain') return object.hook;
  if (object.kind === 'set') return { ...object, intervals: undefined };
  return undefined;
}
