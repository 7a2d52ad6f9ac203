import type { Prefix } from '../base/address.ts';
import { type PortRangeParts, portRangeParts, splitPortRange } from '../base/port-range.ts';
import type { Policy } from '../policy/policy.ts';
import { type Bits, bitsCover, bitsLength, bitsOf } from '../policy/prefixes.ts';
import { type Claim, Claims } from './claims.ts';
import { type Ports, type Prepared, prepared } from './prepared.ts';

/** Says of a policy which others decide about every packet that fits it, in the policies' order; `undefined` when it may decide. */
export function hiders(
  policies: readonly Policy[],
): (policy: Policy, cluster: readonly Prefix[]) => Policy[] | undefined {
  const all = new Map(policies.map((policy, place) => [policy, prepared(policy, place)]));
  const claims = new Claims([...all.values()]);
  return (policy, cluster) => {
    const own = all.get(policy) ?? prepared(policy, all.size);
    const cells = coveredCells(own, claims.before(own), [...own.except, ...bitsOf(cluster)]);
    return cells === undefined ? undefined : fewest(cells);
  };
}

/** Destinations of one length, for a part of the ports, and what others have of them before the policy has. */
interface Cell {
  readonly destinations: readonly Bits[];
  /** What nobody steers, or the policy excepts. */
  readonly left: readonly Bits[];
  readonly claims: readonly Claim[];
}

/**
 * The parts of a policy's packets that others decide about: for each part the claims hold all its ports, or none. `undefined`
 * when they leave a packet of one.
 */
function coveredCells(own: Prepared, claims: readonly Claim[], left: readonly Bits[]): Cell[] | undefined {
  const [cells, lengths] = [[] as Cell[], Map.groupBy(own.destinations, bitsLength)];
  for (const part of partsOf(own, claims)) {
    const holding = claims.filter(({ by: { ports } }) => holds(ports, part));
    for (const [length, destinations] of lengths) {
      const cell = { destinations, left, claims: holding.filter((claim) => claim.length === length) };
      if (!isCovered(cell, () => true)) return undefined;
      if (!isCovered(cell, () => false)) cells.push(cell);
    }
  }
  return cells;
}

/** Ranges of ports that each claim holds wholly or not at all; one without a value when the policy is for all ports. */
function partsOf({ policy: { ports } }: Prepared, claims: readonly Claim[]): (PortRangeParts | undefined)[] {
  if (ports === undefined) return [undefined];
  const others = [...new Set(claims.flatMap(({ by }) => by.policy.ports ?? []))];
  return ports.flatMap((range) => splitPortRange(range, others)).map(portRangeParts);
}

const holds = (ports: Ports, part: PortRangeParts | undefined): boolean =>
  ports === undefined || (part !== undefined && ports.some((range) => holdsPart(range, part)));

function holdsPart(range: PortRangeParts, part: PortRangeParts): boolean {
  if (range.protocol !== part.protocol) return false;
  if (range.ports === undefined || part.ports === undefined) return range.ports === undefined;
  return range.ports.first <= part.ports.first && part.ports.last <= range.ports.last;
}

const isCovered = ({ destinations, left, claims }: Cell, counts: (claimant: Prepared) => boolean): boolean =>
  bitsCover([...left, ...claims.flatMap(({ by, range }) => (counts(by) ? [range] : []))], destinations);

/** The first policy that covers all cells alone; else all, without each that the ones kept so far and later ones can do without. */
function fewest(cells: readonly Cell[]): Policy[] {
  const cellsOf = Map.groupBy(
    cells.flatMap((cell) => [...new Set(cell.claims.map(({ by }) => by))].map((by) => ({ by, cell }))),
    ({ by }) => by,
  );
  const all = [...cellsOf.keys()].toSorted((a, b) => a.place - b.place);
  const needed = new Set(all);
  const isDone = (counts: (claimant: Prepared) => boolean, by: Prepared) =>
    cellsOf.get(by)?.every(({ cell }) => isCovered(cell, counts)) === true;
  const alone = all.find((one) => cellsOf.get(one)?.length === cells.length && isDone((by) => by === one, one));
  if (alone !== undefined) return [alone.policy];
  for (const one of all) {
    needed.delete(one);
    if (!isDone((by) => needed.has(by), one)) needed.add(one);
  }
  return all.filter((one) => needed.has(one)).map(({ policy }) => policy);
}
