import { canonicalJson } from '../base/canonical.ts';
import type { Operation } from '../nftables/object.ts';
import type { Change } from './difference.ts';
import type { HostObject, OutsideObject } from './objects.ts';

/** Changes by who makes them and when. What steers goes up before what sends packets to it, and comes down after. */
export interface Plan {
  /** Devices, addresses, parameters, routes and rules to set up, before the transaction. */
  readonly before: readonly OutsideObject[];
  /** One nftables transaction. */
  readonly transaction: readonly Operation[];
  /** The same to take down, and parameters to put back, after the transaction. */
  readonly after: readonly OutsideObject[];
}

/** A device before what is on it, what leads somewhere before what leads to that. */
const setUpFirst: { readonly [K in OutsideObject['kind']]: number } = {
  tunnel: 0,
  address: 1,
  sysctl: 2,
  neighbour: 3,
  forwarding: 4,
  route: 5,
  rule: 6,
};

const isOutside = (object: HostObject): object is OutsideObject => object.kind in setUpFirst;

/** Puts changes in the order in which no packet can take a way that is not there yet, or not there any more. */
export function planOf(changes: readonly Change[]): Plan {
  const outside = (remove: boolean) =>
    changes
      .filter(({ verb }) => (verb === 'remove') === remove)
      .map(({ object }) => object)
      .filter(isOutside);
  const order = (a: OutsideObject, b: OutsideObject) => setUpFirst[a.kind] - setUpFirst[b.kind];
  return {
    before: outside(false).sort(order),
    transaction: changes.flatMap(operationsOf),
    after: outside(true).sort((a, b) => order(b, a)),
  };
}

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
