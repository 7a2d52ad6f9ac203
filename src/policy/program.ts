import { type Family, families, familyOf, type Prefix, prefixLength } from '../base/address.ts';
import { canonicalJson } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import { sha256Hex } from '../base/sha256.ts';
import { fitsGlob } from './glob.ts';
import type { Match, Pod, Program } from './match.ts';
import type { Policy } from './policy.ts';
import { withoutNested } from './prefixes.ts';
import { fitsSelector } from './selector.ts';
import { isEverything, termsOf } from './terms.ts';

/** What a pod asks for by its annotations. */
export interface Wishes {
  /** Names of the policies that it opts in to. */
  readonly named: ReadonlySet<string>;
  /** A policy of its own, called {@link wishName}. */
  readonly own?: Policy;
}

const noWishes: Wishes = { named: new Set() };

/**
 * The program of a pod: IPv4 first, then IPv6. Among policies that fit a packet, higher priority decides, then the
 * longer destination prefix, then the name that sorts first. The pod's own policy comes before all that have its
 * priority or a lower one, but behind every `drop`; so do those of tenants, behind the pod's own one. Empty: nothing changes for the pod.
 */
export function programFor(policies: readonly Policy[], pod: Pod, wishes: Wishes = noWishes): Program {
  const selected = policies.filter((policy) => selects(policy, pod, wishes));
  return families.flatMap((family) => withoutIdle(matchesOf(selected, wishes.own, family)));
}

/**
 * A program with at most one range of each list. Its rules need no more: whether a list is empty, or everything. The
 * program's name stands for the rest.
 */
export const outlineOf = (program: Program): Program =>
  program.map((match) => ({
    ...match,
    destinations: match.destinations.slice(0, 1),
    except: match.except.slice(0, 1),
  }));

/**
 * Equal for programs that treat every packet alike; the names of their policies do not count. Members that matches got
 * later are in it as they come; the first ones are written as they always were, since running pods use chains that are
 * named by it.
 */
export function programDigest(program: Program): string {
  const matches = program.map(({ policy: _, family, destinations, except, exit, ports, ...others }) => {
    const later = Object.keys(others).length > 0 ? [canonicalJson(others)] : [];
    return [family, destinations, except, exit, ...(ports ? [ports] : []), ...later];
  });
  return sha256Hex(JSON.stringify(matches));
}

/**
 * How many hex digits of the SHA-256 are in the name of a program. Tenants choose the content of their programs, so
 * nobody may be able to find two with one name: 24 digits would take 2^48 tries, hours of a fast machine.
 */
const programDigits = 40;

/**
 * The name of a program's chain. Pods share it when digest, own networks and cluster ranges are equal. Without
 * `cluster` it is the name from before programs had such ranges.
 */
export const programName = (digest: string, subnets: readonly Prefix[], cluster?: readonly Prefix[]): string => {
  const parts = [digest, subnets.toSorted(), ...(cluster ? [[...new Set(cluster)].sort()] : [])];
  return `program-${sha256Hex(JSON.stringify(parts)).slice(0, programDigits)}`;
};

/** Ranges with one left of each family: enough for the rules of a program, as {@link outlineOf}. */
export const outlineOfRanges = (ranges: readonly Prefix[]): Prefix[] =>
  families.flatMap((family) => ranges.find((range) => familyOf(range) === family) ?? []);

/** Whether the pod has the names that are meant. A runtime that gives no namespace and no name leaves `*`. */
export const hasName = (
  { namespaces, pods }: Pick<Policy, 'namespaces' | 'pods'>,
  { namespace = '', name = '' }: Pod,
): boolean => namespaces.some((glob) => fitsGlob(glob, namespace)) && pods.some((glob) => fitsGlob(glob, name));

/** Whether a policy is for the pod, were it not for `optIn`. Throws `try-again` when that hangs on labels that are not known. */
export const isFor = (policy: Policy, pod: Pod): boolean => hasName(policy, pod) && hasLabels(policy, pod);

/** Whether some policy chooses by labels among pods with these names, so that the labels must be known. */
export const asksForLabels = (policies: readonly Policy[], pod: Pod): boolean =>
  policies.some((policy) => choosesByLabels(policy) && hasName(policy, pod));

/** Whether a policy needs to know labels. */
export const choosesByLabels = ({ podSelector = [], namespaceSelector = [] }: Policy): boolean =>
  podSelector.length > 0 || namespaceSelector.length > 0;

function hasLabels(policy: Policy, { namespace, name, labels }: Pod): boolean {
  if (!choosesByLabels(policy)) return true;
  const { podSelector = [], namespaceSelector = [] } = policy;
  if (labels !== undefined)
    return fitsSelector(podSelector, labels.pod) && fitsSelector(namespaceSelector, labels.namespace);
  throw new EgressError(
    'try-again',
    `Policy "${policy.name}" chooses pods by labels, and those of pod ${namespace ?? ''}/${name ?? ''} are not known`,
  );
}

/** Whether a pod with these wishes has a policy. */
export const selects = (policy: Policy, pod: Pod, { named }: Wishes): boolean =>
  isFor(policy, pod) && (!policy.optIn || named.has(policy.name));

/** One destination of one policy. The order of decisions is defined on these. */
export interface Candidate {
  readonly policy: Policy;
  readonly destination: Prefix;
}

function matchesOf(policies: readonly Policy[], own: Policy | undefined, family: Family): Match[] {
  return runsOf(inOrder(policies, own, family)).map(({ policy, destinations }) => ({
    policy: policy.name,
    family,
    destinations: withoutNested(destinations),
    ...termsOf(policy, family),
  }));
}

/** All destinations of the family, of a pod's policies and of its own one, in the order in which they decide. */
export function inOrder(policies: readonly Policy[], own: Policy | undefined, family: Family): Candidate[] {
  const { tenants = [], others = [] } = Object.groupBy(policies, ({ ofTenant }) => (ofTenant ? 'tenants' : 'others'));
  const ranked = placed(candidatesOf(tenants, family), candidatesOf(others, family));
  return own === undefined ? ranked : placed(candidatesOf([own], family), ranked);
}

/** What owners of pods or of namespaces say, among what else there is. */
function placed(owners: readonly Candidate[], ranked: Candidate[]): Candidate[] {
  const [first] = owners;
  if (first === undefined) return ranked;
  const place = placeOf(first.policy, ranked);
  return [...ranked.slice(0, place), ...owners, ...ranked.slice(place)];
}

/** All destinations of the family, in the order in which they decide. */
const candidatesOf = (policies: readonly Policy[], family: Family): Candidate[] =>
  policies
    .flatMap((policy) =>
      policy.destinations
        .filter((destination) => familyOf(destination) === family)
        .map((destination) => ({ policy, destination })),
    )
    .sort(byRank);

/** The place of policies of a pod's or a namespace's owner: behind every `drop`, since they open nothing that an administrator drops. */
const placeOf = (own: Policy, ranked: readonly Candidate[]): number =>
  ranked.findLastIndex(({ policy }) => policy.exit === 'drop' || policy.priority > own.priority) + 1;

/** The order in which candidates decide. */
export function byRank(a: Candidate, b: Candidate): number {
  return (
    b.policy.priority - a.policy.priority ||
    prefixLength(b.destination) - prefixLength(a.destination) ||
    (a.policy.name < b.policy.name ? -1 : a.policy.name > b.policy.name ? 1 : 0)
  );
}

/** Neighbours of one policy in one: a policy that no other comes between is one match, however many its destinations. */
function runsOf(candidates: readonly Candidate[]): { policy: Policy; destinations: Prefix[] }[] {
  const runs: { policy: Policy; destinations: Prefix[] }[] = [];
  for (const { policy, destination } of candidates) {
    const last = runs.at(-1);
    if (last?.policy === policy) last.destinations.push(destination);
    else runs.push({ policy, destinations: [destination] });
  }
  return runs;
}

/** The matches without those behind a match for everything, and without the last ones that lead to the node anyway. */
function withoutIdle(matches: readonly Match[]): Match[] {
  const everything = matches.findIndex((match) => match.destinations[0]?.endsWith('/0') && isEverything(match));
  const reached = everything < 0 ? matches : matches.slice(0, everything + 1);
  return reached.slice(0, reached.findLastIndex(({ exit }) => exit !== 'node') + 1);
}
