import { type Family, families, familyOf } from '../base/address.ts';
import { holdsPorts } from '../base/port-range.ts';
import type { Policy } from './policy.ts';
import { coverAll, firstWithout, without } from './prefixes.ts';
import { type Candidate, inOrder } from './program.ts';

/** Who leaves nothing to a pod's own policy. */
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
  const taking = families.flatMap((family) => takingPorts(own, before(own, policies, family), family));
  if (!taking.every(takesAll)) return undefined;
  const [first, ...others] = taking.flatMap((each) => mainTaker(each) ?? []);
  return (
    first && { name: first.name, alone: [first, ...others].every(({ name, alone }) => alone && name === first.name) }
  );
}

/** What decides before the pod's own policy about packets of one family, to some of the ports. */
interface Taking {
  /** Destinations and exceptions of the own policy. */
  readonly wanted: readonly string[];
  readonly except: readonly string[];
  readonly candidates: readonly Candidate[];
}

/** What decides before the pod's own policy. */
function before(own: Policy, policies: readonly Policy[], family: Family): Candidate[] {
  const candidates = inOrder(policies, own, family);
  const place = candidates.findIndex(({ policy }) => policy === own);
  return candidates.slice(0, Math.max(0, place));
}

/** For each port of the own policy those that take it; ports that the same ones take count once. */
function takingPorts(
  { destinations, except, ports }: Policy,
  candidates: readonly Candidate[],
  family: Family,
): Taking[] {
  const policies = [...new Set(candidates.map(({ policy }) => policy))];
  const all = (ports ?? [undefined]).map((port) =>
    policies.filter((policy) => !policy.ports || (port && policy.ports.some((range) => holdsPorts(range, port)))),
  );
  const different = new Map(all.map((some) => [some.map(({ name }) => name).join(), new Set(some)]));
  const wanted = destinations.filter((destination) => familyOf(destination) === family);
  return [...different.values()].map((some) => ({
    wanted,
    except,
    candidates: candidates.filter(({ policy }) => some.has(policy)),
  }));
}

const takesAll = ({ wanted, except, candidates }: Taking): boolean =>
  coverAll([...except, ...candidates.flatMap(taken)], wanted);

/** Of those that take the first of what is wanted the one that takes all of it, or else the first one. */
function mainTaker({ wanted, except, candidates }: Taking): Decider | undefined {
  const sample = firstWithout(wanted, except);
  if (sample === undefined) return undefined;
  const policies = [...Map.groupBy(candidates, ({ policy }) => policy)].map(([policy, own]) => ({ policy, own }));
  const takers = policies.filter(({ own }) => without([sample], own.flatMap(taken)).join() !== sample);
  const single = takers.find(({ own }) => takesAll({ wanted, except, candidates: own }));
  const main = single ?? takers[0];
  return main && { name: main.policy.name, alone: single !== undefined };
}

const taken = ({ policy, destination }: Candidate): string[] => without([destination], policy.except);
