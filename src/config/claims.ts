import { type Bits, bitsLength } from '../policy/prefixes.ts';
import { isWider, type Ports, type Prepared } from './prepared.ts';

/** A range that another policy decides about before the policy in question decides about its destinations of one length. */
export interface Claim {
  readonly by: Prepared;
  readonly range: Bits;
  readonly length: number;
}

/**
 * What policies decide before others. A policy meets only those whose pods, destinations and ports may be around its own,
 * and of policies that differ in rank alone only the first and the last by place.
 */
export class Claims {
  /** By how the namespaces that they select begin, up to the first `*` or `?`. */
  readonly #byBeginning = new Map<string, Selection[]>();

  constructor(all: readonly Prepared[]) {
    const alike = ({ policy: { namespaces, pods, podSelector, namespaceSelector, optIn }, except }: Prepared) => [
      ...[namespaces, pods, podSelector, namespaceSelector],
      ...[optIn, except],
    ];
    for (const group of groups(all, alike)) {
      const selection = new Selection(group);
      const beginnings = group[0].policy.namespaces.map((glob) => glob.replace(/[*?].*/s, ''));
      for (const beginning of new Set(beginnings)) push(this.#byBeginning, beginning, selection);
    }
  }

  before(own: Prepared): Claim[] {
    const [name = ''] = own.policy.namespaces;
    const candidates = new Set<Selection>();
    for (let end = 0; end <= name.length; end++) {
      for (const selection of this.#byBeginning.get(name.slice(0, end)) ?? []) candidates.add(selection);
    }
    const wider = [...candidates].filter(({ first }) => isWider(first, own));
    return wider.flatMap((selection) => selection.before(own));
  }
}

/** Groups of those that are alike, each with one at least. */
function groups(all: readonly Prepared[], alike: (one: Prepared) => unknown): [Prepared, ...Prepared[]][] {
  return [...Map.groupBy(all, (one) => JSON.stringify(alike(one))).values()] as [Prepared, ...Prepared[]][];
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}

/** Policies that select the same pods and except the same. */
class Selection {
  readonly first: Prepared;
  /** Those with a range among their destinations. */
  readonly #owners = new Map<Bits, PortIndex>();
  readonly #ranges: readonly Bits[];

  constructor(policies: readonly [Prepared, ...Prepared[]]) {
    this.first = policies[0];
    for (const group of groups(policies, ({ ports, destinations }) => [ports, destinations])) {
      const twins = new Twins(group);
      for (const range of new Set(group[0].destinations)) {
        const owners = this.#owners.get(range) ?? new PortIndex();
        this.#owners.set(range, owners);
        owners.add(twins);
      }
    }
    this.#ranges = [...this.#owners.keys()].sort();
  }

  before(own: Prepared): Claim[] {
    const rivals = new Map<Twins, Prepared[]>();
    const claims: Claim[] = [];
    for (const destination of own.destinations) {
      const length = bitsLength(destination);
      for (const range of this.#overlapping(destination)) {
        for (const twins of this.#owners.get(range)?.meeting(own.ports) ?? []) {
          const some = rivals.get(twins) ?? twins.rivalsOf(own);
          rivals.set(twins, some);
          for (const by of some) if (decidesBefore(by, range, own, length)) claims.push({ by, range, length });
        }
      }
    }
    return claims;
  }

  /** Ranges around a destination, itself, and ranges inside it. */
  *#overlapping(destination: Bits): Generator<Bits> {
    for (let end = 1; end < destination.length; end++) {
      const range = destination.slice(0, end);
      if (this.#owners.has(range)) yield range;
    }
    const from = firstIndex(this.#ranges, (range) => range >= destination);
    for (let i = from; this.#ranges[i]?.startsWith(destination); i++) yield this.#ranges[i] ?? '';
  }
}

/** The first place whose value holds, of values that hold from some place on; else the length. */
function firstIndex<T>(sorted: readonly T[], holds: (value: T) => boolean): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(sorted[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Policies that differ in priority, name and exit alone. To another policy those are alike that have a higher priority;
 * so are those with its own and an earlier name; and so are those with its own and a later name.
 */
class Twins {
  readonly ports: Ports;
  /** By priority, the highest first. */
  readonly #groups: readonly SamePriority[];
  /** For each group the first and the last by place of all before it. */
  readonly #above: readonly (readonly Prepared[])[];

  constructor(twins: readonly [Prepared, ...Prepared[]]) {
    this.ports = twins[0].ports;
    const groups = [...Map.groupBy(twins, ({ policy }) => policy.priority)].toSorted(([a], [b]) => b - a);
    this.#groups = groups.map(([priority, members]) => new SamePriority(priority, members));
    this.#above = [[], ...endsUpTo(groups.map(([, members]) => endsOf(members)))];
  }

  /** Of those that may decide before a policy, the first and the last by place of each kind. */
  rivalsOf({ policy }: Prepared): Prepared[] {
    const index = firstIndex(this.#groups, ({ priority }) => priority <= policy.priority);
    const group = this.#groups[index];
    const equals = group?.priority === policy.priority ? group.othersThan(policy.name) : [];
    return [...(this.#above[index] ?? []), ...equals];
  }
}

class SamePriority {
  readonly priority: number;
  readonly #byName: readonly Prepared[];
  readonly #earlier: readonly (readonly Prepared[])[];
  readonly #later: readonly (readonly Prepared[])[];

  constructor(priority: number, members: readonly Prepared[]) {
    this.priority = priority;
    this.#byName = members.toSorted((a, b) => (a.policy.name < b.policy.name ? -1 : 1));
    const alone = this.#byName.map((one) => [one]);
    this.#earlier = endsUpTo(alone);
    this.#later = endsUpTo(alone.toReversed()).toReversed();
  }

  othersThan(name: string): Prepared[] {
    const [before, after] = [
      firstIndex(this.#byName, ({ policy }) => policy.name >= name) - 1,
      firstIndex(this.#byName, ({ policy }) => policy.name > name),
    ];
    return [...(this.#earlier[before] ?? []), ...(this.#later[after] ?? [])];
  }
}

/** For each of the parts the first and the last by place, of all parts up to it. */
function endsUpTo(parts: readonly (readonly Prepared[])[]): (readonly Prepared[])[] {
  let ends: readonly Prepared[] = [];
  return parts.map((part) => {
    ends = endsOf([...ends, ...part]);
    return ends;
  });
}

/** The first and the last by place. */
function endsOf(some: readonly Prepared[]): readonly Prepared[] {
  const sorted = some.toSorted((a, b) => a.place - b.place);
  return sorted.length > 2 ? [sorted[0], sorted.at(-1)].filter((one) => one !== undefined) : sorted;
}

/** As `byRank` says it of candidates. */
function decidesBefore({ policy: other }: Prepared, range: Bits, { policy }: Prepared, length: number): boolean {
  if (other.priority !== policy.priority) return other.priority > policy.priority;
  if (bitsLength(range) !== length) return bitsLength(range) > length;
  return other.name < policy.name;
}

/** Policies with one range among their destinations, by their ports. */
class PortIndex {
  readonly #forAll: Twins[] = [];
  readonly #byProtocol = new Map<string, Intervals>();

  add(twins: Twins): void {
    if (twins.ports === undefined) this.#forAll.push(twins);
    for (const { protocol, ports = allPorts } of twins.ports ?? []) {
      const intervals = this.#byProtocol.get(protocol) ?? new Intervals();
      this.#byProtocol.set(protocol, intervals);
      intervals.add({ ...ports, twins });
    }
  }

  /** Those that take a packet to one of these ports. */
  meeting(ports: Ports): Iterable<Twins> {
    if (ports === undefined || this.#byProtocol.size === 0) return this.#forAll;
    const met = new Set(this.#forAll);
    for (const { protocol, ports: range = allPorts } of ports) {
      for (const twins of this.#byProtocol.get(protocol)?.meeting(range) ?? []) met.add(twins);
    }
    return met;
  }
}

const allPorts = { first: 0, last: 65535 };

interface Interval {
  readonly first: number;
  readonly last: number;
  readonly twins: Twins;
}

/** Ranges of ports, found by those that they overlap. */
class Intervals {
  readonly #added: Interval[] = [];
  /** By their first ports, each with the highest last port up to there. */
  #sorted: readonly (Interval & { readonly highest: number })[] | undefined;

  add(interval: Interval): void {
    this.#added.push(interval);
    this.#sorted = undefined;
  }

  *meeting({ first, last }: Pick<Interval, 'first' | 'last'>): Generator<Twins> {
    this.#sorted ??= sortedIntervals(this.#added);
    const end = firstIndex(this.#sorted, (interval) => interval.first > last);
    for (let i = end - 1; (this.#sorted[i]?.highest ?? -1) >= first; i--) {
      const interval = this.#sorted[i];
      if (interval !== undefined && interval.last >= first) yield interval.twins;
    }
  }
}

function sortedIntervals(intervals: readonly Interval[]): (Interval & { readonly highest: number })[] {
  let highest = 0;
  return intervals
    .toSorted((a, b) => a.first - b.first)
    .map((interval) => {
      highest = Math.max(highest, interval.last);
      return { ...interval, highest };
    });
}
