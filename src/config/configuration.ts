import { type Address, familyOf, type Prefix, parsePrefix } from '../base/address.ts';
import type { AddressByFamily, Exit } from '../policy/exit.ts';
import { exitIdOf } from '../policy/exit-id.ts';
import type { Policy } from '../policy/policy.ts';
import { withoutNested } from '../policy/prefixes.ts';
import { type ChainEntry, defaults, type logLevels, type PolicyDocument } from './schema.ts';

/** Everything that is configured, with all defaults filled in. */
export interface Configuration {
  /** The one bit of the packet mark that says: this packet is ours to steer. */
  readonly fwmark: number;
  /** The table of an exit is this plus its id. */
  readonly routeTable: number;
  /** The first of three consecutive priorities of policy rules. */
  readonly rulePriority: number;
  readonly dataDir: string;
  /** `undefined`: no log is wanted. */
  readonly logFile: string | undefined;
  readonly logLevel: (typeof logLevels)[number];
  /** Never steered: `clusterCIDRs`, nodes and their pods, link-local. Canonical, sorted, none inside another. */
  readonly clusterCIDRs: readonly Prefix[];
  readonly exits: readonly Exit[];
  readonly policies: readonly Policy[];
}

/** Neighbours on the pod's own link, cloud metadata services among them. */
const linkLocal: readonly Prefix[] = ['169.254.0.0/16', 'fe80::/10'];

/** The configuration that a chain entry and further documents make. Lists add up; of single values the first one counts. */
export function configurationOf(entry: ChainEntry, documents: readonly PolicyDocument[]): Configuration {
  const first = (key: 'fwmark' | 'routeTable' | 'rulePriority') =>
    Number(documents.map((document) => document[key]).find((value) => value !== undefined) ?? defaults[key]);
  return {
    fwmark: first('fwmark'),
    routeTable: first('routeTable'),
    rulePriority: first('rulePriority'),
    dataDir: entry.dataDir ?? defaults.dataDir,
    logFile: entry.logFile,
    logLevel: entry.logLevel ?? defaults.logLevel,
    clusterCIDRs: withoutNested([...linkLocal, ...documents.flatMap(clusterRanges)]),
    exits: documents.flatMap(({ exits = [] }) => exits.map(toExit)),
    policies: documents.flatMap(({ policies = [] }) => policies.map(toPolicy)),
  };
}

function clusterRanges({ clusterCIDRs = [], nodes = [] }: PolicyDocument): Prefix[] {
  const nodeRanges = nodes.flatMap(({ address, podCIDRs = [] }) => [parsePrefix(address) ?? [], podCIDRs].flat());
  return [...clusterCIDRs, ...nodeRanges];
}

type Listed<K extends 'exits' | 'policies'> = NonNullable<PolicyDocument[K]>[number];

const toExit = (exit: Listed<'exits'>): Exit => ({
  name: exit.name,
  id: exit.id ?? exitIdOf(exit.name),
  interface: exit.interface,
  nextHops: byFamily([exit.nextHop ?? []].flat()),
  addresses: byFamily(exit.addresses ?? []),
});

const byFamily = (addresses: readonly Address[]): AddressByFamily =>
  Object.fromEntries(addresses.map((address) => [familyOf(address), address]));

const toPolicy = (policy: Listed<'policies'>): Policy => ({
  name: policy.name,
  namespaces: policy.namespaces,
  destinations: policy.destinations ?? defaults.destinations,
  except: policy.except ?? [],
  exit: policy.exit,
  priority: policy.priority ?? defaults.priority,
});
