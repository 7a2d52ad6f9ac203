import { type Family, families, familyOf, type Prefix } from '../base/address.ts';
import type { Exit } from '../policy/exit.ts';
import type { Policy } from '../policy/policy.ts';
import { coverAll } from '../policy/prefixes.ts';
import type { Configuration } from './configuration.ts';
import type { Problem } from './problem.ts';

type Found = Omit<Problem, 'source'>;

/** Policies whose packets of one family are dropped, since their exit has nothing of it; and ranges of one address that nobody has. */
export function familyWarnings(configuration: Configuration): Found[] {
  const { policies, clusterCIDRs } = configuration;
  const ofPods = new Set(clusterCIDRs.filter((range) => !isLinkLocal(range)).map(familyOf));
  const lost = lostFamilies(configuration, (family) => ofPods.has(family));
  return policies.flatMap((policy, i) => [
    ...lost
      .filter((each) => each.policy === policy)
      .map(({ why, remedy }) => ({ pointer: `/policies/${i}`, message: `${why}: ${remedy}` })),
    ...unspecified(policy, `/policies/${i}`),
  ]);
}

/** Packets of one family that a policy gives to an exit which has nothing of it. */
export interface LostFamily {
  readonly policy: Policy;
  readonly family: Family;
  readonly why: string;
  readonly remedy: string;
}

/** All of them; `podsHave` says whether there are pods with the family, for policies that are for everywhere. */
export const lostFamilies = (
  { exits, policies }: Configuration,
  podsHave: (family: Family) => boolean,
): readonly LostFamily[] =>
  policies.flatMap((policy) => {
    const exit = exits.find(({ name }) => name === policy.exit);
    const missing = exit === undefined ? [] : missingIn(exit);
    return missing
      .filter((family) => sends(policy, family, podsHave(family)))
      .map((family) => ({ policy, family, ...dropped(policy, family) }));
  });

/** They always count as ranges of the cluster. */
const isLinkLocal = (range: Prefix): boolean => range.startsWith('169.254.') || range.startsWith('fe80:');

/** What neither addresses nor next hops of the exit are of. With neither, its interface has what it has. */
function missingIn({ addresses, nextHops }: Exit): Family[] {
  const given = [...addresses, ...Object.values(nextHops)].map(familyOf);
  return given.length === 0 ? [] : families.filter((family) => !given.includes(family));
}

/** Whether the policy is for packets of a family. One for everywhere is for those that pods have. */
function sends({ destinations, except }: Policy, family: Family, podsHaveIt: boolean): boolean {
  const ranges = destinations.filter((range) => familyOf(range) === family && !coverAll(except, [range]));
  return ranges.some((range) => podsHaveIt || !range.endsWith('/0'));
}

function dropped({ name, exit, destinations }: Policy, family: Family): Pick<LostFamily, 'why' | 'remedy'> {
  const other = family === 6 ? 4 : 6;
  const why = `exit "${exit}" has no IPv${family} address or next hop, so all that policy "${name}" gives it by IPv${family} is dropped`;
  const limit = `limit "destinations" to IPv${other}, such as "${other === 4 ? '0.0.0.0/0' : '::/0'}", and the rest leaves as without egress`;
  const hasOther = destinations.some((range) => familyOf(range) === other);
  return { why, remedy: `give the exit one${hasOther ? `, or ${limit}` : ''}` };
}

/** `0.0.0.0` alone is mostly meant as everywhere. */
function unspecified({ destinations, except }: Policy, pointer: string): Found[] {
  const inList = (list: readonly Prefix[], key: string) =>
    list.flatMap((range, i) => {
      const everywhere = { '0.0.0.0/32': '0.0.0.0/0', '::/128': '::/0' }[range];
      const message = `${range} is one address, which nobody has: "${everywhere}" is everywhere`;
      return everywhere === undefined ? [] : [{ pointer: `${pointer}/${key}/${i}`, message }];
    });
  return [...inList(destinations, 'destinations'), ...inList(except, 'except')];
}
