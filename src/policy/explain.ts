import { contains, type Family, familyOf, type Prefix, prefixLength } from '../base/address.ts';
import { fits } from './decision.ts';
import { type Match, type Pod, type Program, wishName } from './match.ts';
import type { Policy } from './policy.ts';
import { byRank, type Candidate, hasName, inOrder, isFor, selects, type Wishes } from './program.ts';
import { selectorText } from './selector.ts';
import { missedTerm, type Packet, type Terms, termsOf } from './terms.ts';

/** Why a policy decides about a packet of a pod, or why it does not; the first of these that holds. */
export type Reason =
  // It is not for the pod: by its namespaces, by its pods' names or labels, or because the pod does not ask for it.
  | 'namespace'
  | 'pod'
  | 'labels'
  | 'opt-in'
  // It is not about the packet: its destinations are of the other family, or none holds the packet's.
  | 'family'
  | 'destination'
  // Or one of its terms leaves the packet out.
  | keyof Terms
  /** It is about the packet, but another one decides before it. */
  | 'later'
  | 'decides';

/** The judgement of a policy about a packet of a pod. */
export interface Considered {
  readonly policy: string;
  readonly exit: string;
  readonly reason: Reason;
  /** The reason for a person: half a sentence without a full stop. */
  readonly words: string;
}

/**
 * Every policy, with the reason why it decides about a packet to outside the cluster, or why not. Policies for the pod
 * come first, in the order in which they decide, then the others by rank. At most one decides.
 */
export function consider(policies: readonly Policy[], pod: Pod, wishes: Wishes, packet: Packet): Considered[] {
  const family = familyOf(packet.destination);
  const isSelected = (policy: Policy) => selects(policy, pod, wishes);
  const selected = policies.filter(isSelected);
  const ordered = inOrder(selected, wishes.own, family);
  const winner = ordered.find((candidate) => takes(candidate, packet));
  const foundOf = (candidate: Candidate): Considered =>
    considered(candidate.policy, reasonOf(candidate, winner, packet));
  const ofOtherFamily = [...selected, ...(wishes.own ? [wishes.own] : [])].filter(
    (policy) => !ordered.some((candidate) => candidate.policy === policy),
  );
  return [
    ...oneOfEach(ordered, packet).map(foundOf),
    ...ofOtherFamily.sort(byOwnRank).map((policy) => considered(policy, lacksFamily(family))),
    ...policies
      .filter((policy) => !isSelected(policy))
      .sort(byOwnRank)
      .map((policy) => considered(policy, notForPod(policy, pod))),
  ];
}

/** The same as {@link consider} for the policies in a program, match by match. */
export function considerMatches(program: Program, packet: Packet): Considered[] {
  const winner = program.find((match) => fits(match, packet));
  return program
    .filter(({ family }) => family === familyOf(packet.destination))
    .map((match) => {
      const found =
        match === winner ? decides(match, packet) : (notAbout(match, packet) ?? later(winner?.policy ?? match.policy));
      return { policy: match.policy, exit: match.exit, ...found };
    });
}

type Found = Pick<Considered, 'reason' | 'words'>;

const considered = ({ name, exit }: Policy, found: Found): Considered => ({ policy: name, exit, ...found });

/** One candidate for each policy: its first destination that takes the packet, else its first. */
function oneOfEach(ordered: readonly Candidate[], packet: Packet): Candidate[] {
  const byPolicy = Map.groupBy(ordered, ({ policy }) => policy);
  const chosen = new Set([...byPolicy.values()].map((own) => own.find((each) => takes(each, packet)) ?? own[0]));
  return ordered.filter((candidate) => chosen.has(candidate));
}

const takes = (candidate: Candidate, packet: Packet): boolean =>
  fits(matchOf(candidate.policy, [candidate.destination]), packet);

function matchOf(policy: Policy, destinations: readonly Prefix[]): Match {
  const family = familyOf(destinations[0] ?? '');
  return { policy: policy.name, family, destinations, ...termsOf(policy, family) };
}

function reasonOf(candidate: Candidate, winner: Candidate | undefined, packet: Packet): Found {
  const { policy } = candidate;
  const family = familyOf(packet.destination);
  const match = matchOf(
    policy,
    policy.destinations.filter((destination) => familyOf(destination) === family),
  );
  const missed = notAbout(match, packet);
  if (missed !== undefined || winner === undefined) return missed ?? decides(match, packet);
  return winner === candidate
    ? decides(matchOf(policy, [candidate.destination]), packet)
    : later(winner.policy.name, rankWords(winner, candidate));
}

const decides = ({ destinations }: Match, { destination }: Packet): Found => ({
  reason: 'decides',
  words: `decides: ${destinations.find((range) => contains(range, destination))} holds the destination`,
});

const later = (winner: string, why?: string): Found => ({
  reason: 'later',
  words: `"${winner}" decides before it${why === undefined ? '' : `: ${why}`}`,
});

/** Why a candidate comes before another one. */
function rankWords(first: Candidate, second: Candidate): string {
  if (first.policy.name === wishName) return 'the pod asks for it';
  if (second.policy.name === wishName) return 'what a pod asks for comes behind higher priorities and what is dropped';
  if (first.policy.ofTenant !== second.policy.ofTenant)
    return first.policy.ofTenant
      ? 'it is the namespace’s own'
      : 'what a namespace has of its own comes behind higher priorities and what is dropped';
  const [higher, lower] = [first.policy.priority, second.policy.priority];
  if (higher !== lower) return `priority ${higher} is higher than ${lower}`;
  const isLonger = prefixLength(first.destination) > prefixLength(second.destination);
  return isLonger ? `${first.destination} is longer than ${second.destination}` : 'its name sorts first';
}

/** Why a match of the packet's family does not take it; `undefined` when it does. */
function notAbout(match: Match, packet: Packet): Found | undefined {
  const isHeld = match.destinations.some((range) => contains(range, packet.destination));
  return isHeld
    ? missedTerm(match, packet)
    : { reason: 'destination', words: 'none of its destinations holds this one' };
}

const lacksFamily = (family: Family): Found => ({
  reason: 'family',
  words: `it has no destinations of IPv${family}`,
});

function notForPod(policy: Policy, pod: Pod): Found {
  if (!hasName({ ...policy, pods: ['*'] }, pod)) {
    return { reason: 'namespace', words: `it is for the namespaces ${policy.namespaces.join(', ')}` };
  }
  if (!hasName(policy, pod)) return { reason: 'pod', words: `it is for pods named ${policy.pods.join(', ')}` };
  if (!isFor(policy, pod)) return { reason: 'labels', words: `it is for pods ${labelWords(policy)}` };
  return { reason: 'opt-in', words: 'the pod does not ask for it' };
}

/** What a policy wants of labels, as half a sentence. */
function labelWords({ podSelector, namespaceSelector }: Policy): string {
  const own = podSelector?.length ? [`with the labels ${selectorText(podSelector)}`] : [];
  const around = namespaceSelector?.length ? [`in namespaces with the labels ${selectorText(namespaceSelector)}`] : [];
  return [...own, ...around].join(' ');
}

/** Compares policies by their first candidates, whatever the packet. */
function byOwnRank(a: Policy, b: Policy): number {
  const firstOf = (policy: Policy): Candidate => {
    const [destination = '::/0'] = policy.destinations.toSorted((x, y) => prefixLength(y) - prefixLength(x));
    return { policy, destination };
  };
  return byRank(firstOf(a), firstOf(b));
}
