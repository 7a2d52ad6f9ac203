import { type Family, families, familyOf, type Prefix } from '../base/address.ts';
import { holdPorts } from '../base/port-range.ts';
import type { Policy } from './policy.ts';
import { coverAll, firstWithout, without, withoutNested } from './prefixes.ts';
import { inOrder } from './program.ts';

/** The policy that leaves nothing to a pod's own one. */
export interface Decider {
  readonly name: string;
  /** Whether others have a part in it. */
  readonly alone: boolean;
}

/**
 * The one of a pod's policies that decides, alone or with others, about every packet of its own one; `undefined` when
 * something is left for that. A range of ports that only several of them hold together counts as left.
 */
export function deciderFor(own: Policy, policies: readonly Policy[]): Decider | undefined {
  const taking = families.flatMap((family) => takingPorts(own, earlierThan(own, policies, family), family));
  if (!taking.every(takesAll)) return undefined;
  const [first, ...others] = taking.flatMap((each) => mainTaker(each) ?? []);
  return (
    first && { name: first.name, alone: [first, ...others].every(({ name, alone }) => alone && name === first.name) }
  );
}

/** A policy that decides before the pod's own one, and the ranges of one family that it decides about. */
interface Earlier {
  readonly policy: Policy;
  readonly ranges: readonly Prefix[];
}

/** The earlier policies about packets of one family, to some of the ports. */
interface Taking {
  /** Destinations and exceptions of the own policy. */
  readonly wanted: readonly Prefix[];
  readonly except: readonly Prefix[];
  readonly earlier: readonly Earlier[];
}

/**
 * The policies that decide before the pod's own one. The ranges of each are worked out once: there may be ten thousand.
 */
function earlierThan(own: Policy, policies: readonly Policy[], family: Family): Earlier[] {
  const candidates = inOrder(policies, own, family);
  const place = candidates.findIndex(({ policy }) => policy === own);
  const byPolicy = Map.groupBy(candidates.slice(0, Math.max(0, place)), ({ policy }) => policy);
  return [...byPolicy].map(([policy, some]) => {
    const destinations = withoutNested(some.map(({ destination }) => destination));
    return { policy, ranges: without(destinations, policy.except) };
  });
}

/** The earlier policies for each port of the own one; ports with the same policies count once. */
function takingPorts({ destinations, except, ports }: Policy, policies: readonly Earlier[], family: Family): Taking[] {
  const all = (ports ?? [undefined]).map((port) =>
    policies.filter(({ policy }) => !policy.ports || (port && holdPorts(policy.ports, port))),
  );
  const different = new Map(all.map((earlier) => [earlier.map(({ policy }) => policy.name).join(), earlier]));
  const wanted = destinations.filter((destination) => familyOf(destination) === family);
  return [...different.values()].map((earlier) => ({ wanted, except, earlier }));
}

const takesAll = ({ wanted, except, earlier }: Taking): boolean =>
  coverAll([...except, ...earlier.flatMap(({ ranges }) => ranges)], wanted);

/** Among the policies that take the first wanted range, one that takes all of them, or else the first. */
function mainTaker({ wanted, except, earlier }: Taking): Decider | undefined {
  const sample = firstWithout(wanted, except);
  if (sample === undefined) return undefined;
  const takers = earlier.filter(({ ranges }) => without([sample], ranges).join() !== sample);
  const single = takers.find((each) => takesAll({ wanted, except, earlier: [each] }));
  const main = single ?? takers[0];
  return main && { name: main.policy.name, alone: single !== undefined };
}
