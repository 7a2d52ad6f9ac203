import { contains, type Prefix, prefixLength } from '../base/address.ts';
import { holdPorts, splitPortRange } from '../base/port-range.ts';
import { nothingElse } from '../base/whole.ts';
import { includesGlob } from '../policy/glob.ts';
import type { Policy } from '../policy/policy.ts';
import { cover, coverAll } from '../policy/prefixes.ts';
import { byRank } from '../policy/program.ts';
import { type Configuration, configurationOf } from './configuration.ts';
import { exitWarnings } from './exit-warnings.ts';
import type { Problem } from './problem.ts';
import type { PolicyDocument } from './schema.ts';

/** Legal settings that surely nobody meant, of a document without contradictions. */
export function warningsOf(source: string, document: PolicyDocument): Problem[] {
  const configuration = configurationOf({ type: 'egress' }, [document]);
  const found = [
    ...exitWarnings(document, configuration),
    ...unusedExits(configuration),
    ...policyWarnings(configuration),
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
  return policies.flatMap((policy, i) => {
    const pointer = `/policies/${i}`;
    // A policy with the exit `node` may name the cluster's ranges: they are left alone, as it says.
    const cluster = policy.exit === 'node' ? [] : clusterCIDRs;
    const message = idle(policy, cluster) ?? hidden(policy, policies, cluster);
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
  return destinations.flatMap((destination, i) => {
    if (!cover(cluster, destination)) return [];
    const range = cluster.find((each) => contains(each, destination));
    const which = range === undefined || range === destination ? '' : ` (${range})`;
    const message = `${destination} is inside ranges of the cluster${which}, which are never steered`;
    return [{ pointer: `${pointer}/destinations/${i}`, message }];
  });
}

/** Why others decide about every packet that fits the policy. */
function hidden(policy: Policy, policies: readonly Policy[], cluster: readonly Prefix[]): string | undefined {
  const wider = policies.filter((other) => other !== policy && isWider(other, policy));
  if (!hide(wider, policy, cluster)) return undefined;
  const one = wider.find((other) => hide([other], policy, cluster));
  if (one) return `policy "${policy.name}" decides nothing: "${one.name}" decides before it`;
  const needed = wider.reduce((kept, each) => {
    const others = kept.filter((other) => other !== each);
    return hide(others, policy, cluster) ? others : kept;
  }, wider);
  const names = needed.map(({ name }) => `"${name}"`).join(', ');
  return `policy "${policy.name}" decides nothing: ${names} together decide before it`;
}

/** Whether the other policy selects all pods of this one, asked for or not, and excepts nothing that this one takes. */
function isWider({ optIn, namespaces, pods, except, ...other }: Policy, policy: Policy): boolean {
  // The other members do not matter, or `hide` looks at them.
  const {
    name: _name,
    destinations: _destinations,
    ports: _ports,
    exit: _exit,
    priority: _priority,
    ...others
  } = other;
  nothingElse(others);
  return (
    !optIn &&
    areIncluded(policy.namespaces, namespaces) &&
    areIncluded(policy.pods, pods) &&
    except.every((range) => cover(policy.except, range))
  );
}

const areIncluded = (globs: readonly string[], wider: readonly string[]): boolean =>
  globs.every((inner) => wider.some((outer) => includesGlob(outer, inner)));

/** Whether for each packet of the policy one of the others, all wider, comes first. */
function hide(others: readonly Policy[], policy: Policy, cluster: readonly Prefix[]): boolean {
  const ranges = others.flatMap(({ ports }) => ports ?? []);
  const parts = policy.ports?.flatMap((range) => splitPortRange(range, ranges)) ?? [undefined];
  return parts.every((part) => {
    const holding = others.filter(({ ports }) => ports === undefined || (part && holdPorts(ports, part)));
    return hideDestinations(holding, policy, cluster);
  });
}

/** The same for policies that all take the same ports. Destinations of one length have one rank: they are judged at once. */
const hideDestinations = (others: readonly Policy[], policy: Policy, cluster: readonly Prefix[]): boolean =>
  [...Map.groupBy(policy.destinations, prefixLength).values()].every((destinations) => {
    const [destination = ''] = destinations;
    const earlier = others.flatMap((other) =>
      other.destinations.filter((range) => byRank({ policy: other, destination: range }, { policy, destination }) < 0),
    );
    return coverAll([...earlier, ...policy.except, ...cluster], destinations);
  });
