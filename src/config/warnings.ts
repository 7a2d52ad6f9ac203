import { contains, type Prefix } from '../base/address.ts';
import type { Policy } from '../policy/policy.ts';
import { bitsCover, bitsOf, coverAll } from '../policy/prefixes.ts';
import { type Configuration, configurationOf } from './configuration.ts';
import { exitWarnings } from './exit-warnings.ts';
import { familyWarnings } from './family-warnings.ts';
import { hiders } from './hidden.ts';
import type { Problem } from './problem.ts';
import type { PolicyDocument } from './schema.ts';

/** Legal settings that surely nobody meant, of a document without contradictions. */
export function warningsOf(source: string, document: PolicyDocument): Problem[] {
  const configuration = configurationOf({ type: 'egress' }, [document]);
  const found = [
    ...exitWarnings(document, configuration),
    ...unusedExits(configuration),
    ...policyWarnings(configuration),
    ...familyWarnings(configuration),
  ];
  return found.map((each) => ({ source, ...each }));
}

type Found = Omit<Problem, 'source'>;

/** An exit without any policy may be waiting for its first one; one that pods may ask for needs none. */
function unusedExits({ exits, policies }: Configuration): Found[] {
  if (policies.length === 0) return [];
  const used = new Set(policies.map(({ exit }) => exit));
  return exits.flatMap(({ name, annotationNamespaces }, i) =>
    used.has(name) || annotationNamespaces.length > 0
      ? []
      : [{ pointer: `/exits/${i}`, message: `no policy uses exit "${name}"` }],
  );
}

function policyWarnings({ policies, clusterCIDRs }: Configuration): Found[] {
  const hidersOf = hiders(policies);
  return policies.flatMap((policy, i) => {
    const pointer = `/policies/${i}`;
    // A policy with the exit `node` may name the cluster's ranges: they are left alone, as it says.
    const cluster = policy.exit === 'node' ? [] : clusterCIDRs;
    const message = idle(policy, cluster) ?? hidden(policy, hidersOf(policy, cluster));
    return message === undefined ? destinationsIn(cluster, policy, pointer) : [{ pointer, message }];
  });
}

/** Why no packet fits the policy. */
function idle({ name, destinations, except }: Policy, cluster: readonly Prefix[]): string | undefined {
  const isLost = (ranges: readonly Prefix[]) => coverAll(ranges, destinations);
  const why = (ranges: string) => `policy "${name}" fits no packet: all its destinations are inside ${ranges}`;
  if (isLost(except)) return why('"except"');
  if (isLost(cluster)) return why('ranges of the cluster, which are never steered');
  return isLost([...except, ...cluster])
    ? why('"except" or ranges of the cluster, which are never steered')
    : undefined;
}

function destinationsIn(cluster: readonly Prefix[], { destinations }: Policy, pointer: string): Found[] {
  const [ranges, bits] = [bitsOf(cluster), bitsOf(destinations)];
  return destinations.flatMap((destination, i) => {
    if (!bitsCover(ranges, [bits[i] ?? ''])) return [];
    const range = cluster.find((each) => contains(each, destination));
    const which = range === undefined || range === destination ? '' : ` (${range})`;
    const message = `${destination} is inside ranges of the cluster${which}, which are never steered`;
    return [{ pointer: `${pointer}/destinations/${i}`, message }];
  });
}

/** Why others decide about every packet that fits the policy. */
function hidden({ name }: Policy, by: readonly Policy[] | undefined): string | undefined {
  if (by === undefined) return undefined;
  const names = by.map((other) => `"${other.name}"`).join(', ');
  return `policy "${name}" decides nothing: ${names}${by.length > 1 ? ' together decide' : ' decides'} before it`;
}
