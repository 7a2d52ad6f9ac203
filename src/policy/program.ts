import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { type Family, families, familyOf, type Prefix, prefixLength } from '../base/address.ts';
import { fitsGlob } from './glob.ts';
import type { Match, Pod, Program } from './match.ts';
import type { Policy } from './policy.ts';
import { withoutNested } from './prefixes.ts';

/**
 * The program of a pod: IPv4 first, then IPv6. Of several policies that fit a packet the one with the higher priority
 * decides, then the one with the longer destination prefix, then the one whose name sorts first. Empty: no policy
 * changes anything for the pod.
 */
export function programFor(policies: readonly Policy[], pod: Pod): Program {
  const selected = policies.filter((policy) => selects(policy, pod));
  return families.flatMap((family) => withoutIdle(matchesOf(selected, family)));
}

/** The name of the chain that pods with an equal program and the same own networks share. */
export function programName(program: Program, subnets: readonly Prefix[]): string {
  const matches = program.map(({ family, destinations, except, exit }) => [family, destinations, except, exit]);
  const text = JSON.stringify([matches, subnets.toSorted()]);
  return `program-${bytesToHex(sha256(utf8ToBytes(text))).slice(0, 24)}`;
}

/** A runtime that gives no namespace and no name leaves the policies for all namespaces and pods. */
const selects = ({ namespaces, pods }: Policy, { namespace = '', name = '' }: Pod): boolean =>
  namespaces.some((glob) => fitsGlob(glob, namespace)) && pods.some((glob) => fitsGlob(glob, name));

/** One destination of one policy: what the order is defined on. */
export interface Candidate {
  readonly policy: Policy;
  readonly destination: Prefix;
}

function matchesOf(policies: readonly Policy[], family: Family): Match[] {
  const candidates = policies.flatMap((policy) =>
    policy.destinations
      .filter((destination) => familyOf(destination) === family)
      .map((destination) => ({ policy, destination })),
  );
  return runsOf(candidates.sort(byRank)).map(({ policy, destinations }) => ({
    policy: policy.name,
    family,
    destinations: withoutNested(destinations),
    except: withoutNested(policy.except.filter((range) => familyOf(range) === family)),
    exit: policy.exit,
  }));
}

/** Sorts what decides first to the front. */
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

/** Without what no packet reaches, and without a tail that says what happens anyway. */
function withoutIdle(matches: readonly Match[]): Match[] {
  const everything = matches.findIndex(({ destinations, except }) => destinations[0]?.endsWith('/0') && !except.length);
  const reached = everything < 0 ? matches : matches.slice(0, everything + 1);
  return reached.slice(0, reached.findLastIndex(({ exit }) => exit !== 'node') + 1);
}
