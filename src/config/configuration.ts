import { type Address, familyOf, type Prefix, parsePrefix } from '../base/address.ts';
import { mergePortRanges } from '../base/port-range.ts';
import { nothingElse, whole } from '../base/whole.ts';
import type { AddressByFamily, Exit } from '../policy/exit.ts';
import { exitIdOf } from '../policy/exit-id.ts';
import type { Policy } from '../policy/policy.ts';
import { withoutNested } from '../policy/prefixes.ts';
import type { Selector } from '../policy/selector.ts';
import { defaults } from './defaults.ts';
import type { KeptObjects } from './kept.ts';
import type { ChainEntry, logLevels, PolicyDocument, replyPaths } from './schema.ts';
import type { LabelSelector } from './selector-schema.ts';

/** A node of the cluster. */
export interface KnownNode {
  /** Of either family; no end of the tunnel unless of that of the gateways. */
  readonly address: Address;
  readonly podCIDRs: readonly Prefix[];
}

/** The tunnel between nodes and gateways, the same for all exits. */
export interface TunnelOptions {
  /** VXLAN network identifier: 1…16777215. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** How replies go from the gateway to the pod's node: as the gateway routes to pods, or by the tunnel. */
  readonly replyPath: (typeof replyPaths)[number];
  /** Addresses that may send to the port: nodes, gateways, `allowedSources`. Canonical, sorted, none inside another. */
  readonly sources: readonly Prefix[];
}

/** How the gateways of an exit agree which of them serves it. */
export interface VrrpOptions {
  /** Milliseconds between two advertisements: 10…40950. */
  readonly interval: number;
  /** One that comes back takes the exit from one behind it in the list. */
  readonly preempt: boolean;
}

/** Addresses that some pods may send with beside their own. */
export interface ExtraSource {
  /** Globs; one must fit the pod's namespace. */
  readonly namespaces: readonly string[];
  /** Globs; one must fit the pod's name. */
  readonly pods: readonly string[];
  readonly addresses: readonly Prefix[];
}

/** Everything that is configured, with all defaults filled in. */
export interface Configuration {
  /** The one bit of the packet mark that says: this packet is ours to steer. */
  readonly fwmark: number;
  /** The table of an exit is this plus its id. */
  readonly routeTable: number;
  /** The first of six consecutive priorities of policy rules. */
  readonly rulePriority: number;
  /** Pods that policies are for may send with their own addresses only. */
  readonly checkSources: boolean;
  readonly extraSources: readonly ExtraSource[];
  readonly dataDir: string;
  /** `undefined`: no log is wanted. */
  readonly logFile: string | undefined;
  readonly logLevel: (typeof logLevels)[number];
  /** Underlay address of this node; `undefined`: to be found out from the node itself. */
  readonly node: Address | undefined;
  readonly nodes: readonly KnownNode[];
  readonly tunnel: TunnelOptions;
  readonly vrrp: VrrpOptions;
  /** Never steered: `clusterCIDRs`, nodes and their pods, gateways, link-local. Canonical, sorted, none inside another. */
  readonly clusterCIDRs: readonly Prefix[];
  readonly exits: readonly Exit[];
  readonly policies: readonly Policy[];
  /** Names of policies that were refused as objects of the cluster: see {@link KeptObjects.refused}. Absent: none. */
  readonly refused?: readonly string[];
}

/** Neighbours on the pod's own link, cloud metadata services among them. */
const linkLocal: readonly Prefix[] = ['169.254.0.0/16', 'fe80::/10'];

/** The configuration that a chain entry and further documents make. Lists add up; of single values the first one counts. */
export function configurationOf(
  entry: ChainEntry,
  documents: readonly PolicyDocument[],
  { refused = [], tenants = [] }: Partial<Pick<KeptObjects, 'refused' | 'tenants'>> = {},
): Configuration {
  const ofTenant = new Set(tenants);
  const single = (key: 'fwmark' | 'routeTable' | 'rulePriority') =>
    Number(first(documents.map((document) => document[key])) ?? defaults[key]);
  return {
    fwmark: single('fwmark'),
    routeTable: single('routeTable'),
    rulePriority: single('rulePriority'),
    checkSources: first(documents.map(({ checkSources }) => checkSources)) ?? defaults.checkSources,
    extraSources: documents.flatMap(({ extraSources = [] }) => extraSources.map(toExtraSource)),
    dataDir: entry.dataDir ?? defaults.dataDir,
    logFile: entry.logFile,
    logLevel: entry.logLevel ?? defaults.logLevel,
    node: entry.node,
    nodes: documents.flatMap(({ nodes = [] }) => nodes.map(toNode)),
    tunnel: tunnelOf(documents),
    vrrp: {
      interval: first(documents.map(({ vrrp }) => vrrp?.interval)) ?? defaults.vrrpInterval,
      preempt: first(documents.map(({ vrrp }) => vrrp?.preempt)) ?? defaults.preempt,
    },
    clusterCIDRs: withoutNested([...linkLocal, ...documents.flatMap(clusterRanges)]),
    exits: documents.flatMap(({ exits = [] }) => exits.map(toExit)),
    policies: documents
      .flatMap(({ policies = [] }) => policies.map(toPolicy))
      .map((policy) => (ofTenant.has(policy.name) ? { ...policy, ofTenant: true } : policy)),
    ...(refused.length > 0 && { refused }),
  };
}

function clusterRanges(document: PolicyDocument): Prefix[] {
  const { clusterCIDRs = [], nodes = [] } = document;
  return [...clusterCIDRs, ...hostRanges(document), ...nodes.flatMap(({ podCIDRs = [] }) => podCIDRs)];
}

/** Nodes and gateways, as ranges of one address each. */
function hostRanges({ nodes = [], exits = [] }: PolicyDocument): Prefix[] {
  const hosts = [...nodes.map(({ address }) => address), ...exits.flatMap(({ gateways = [] }) => gateways)];
  return hosts.flatMap((host) => parsePrefix(host) ?? []);
}

function tunnelOf(documents: readonly PolicyDocument[]): TunnelOptions {
  const tunnels = documents.map(({ tunnel = {} }) => tunnel);
  const allowed = tunnels.flatMap(({ allowedSources = [] }) => allowedSources);
  return {
    vni: first(tunnels.map(({ vni }) => vni)) ?? defaults.vni,
    port: first(tunnels.map(({ port }) => port)) ?? defaults.port,
    replyPath: first(tunnels.map(({ replyPath }) => replyPath)) ?? defaults.replyPath,
    sources: withoutNested([...documents.flatMap(hostRanges), ...allowed]),
  };
}

const first = <T>(values: readonly (T | undefined)[]): T | undefined => values.find((value) => value !== undefined);

type Listed<K extends 'nodes' | 'extraSources' | 'exits' | 'policies'> = NonNullable<PolicyDocument[K]>[number];

const toExtraSource = ({ namespaces, pods, addresses }: Listed<'extraSources'>): ExtraSource => ({
  namespaces,
  pods: pods ?? defaults.pods,
  addresses: withoutNested(addresses),
});

const toNode = ({ address, podCIDRs = [] }: Listed<'nodes'>): KnownNode => ({ address, podCIDRs });

function toExit({ id, nextHop, onlink, addressesOn, addressPerFlow, fastPath, ...exit }: Listed<'exits'>): Exit {
  const { name, gateways, addresses, portsPerPod, portBlocksPerNamespace, annotationNamespaces, ...rest } = exit;
  const { interface: device, onUnavailable, announce, vrid, ...others } = rest;
  nothingElse(others);
  return whole<Exit>({
    name,
    id: id ?? exitIdOf(name),
    gateways: gateways ?? [],
    announce: announce === 'elsewhere' ? announce : undefined,
    vrid,
    interface: device,
    nextHops: byFamily([nextHop ?? []].flat()),
    onlink: onlink ? true : undefined,
    addresses: addresses ?? [],
    addressesOn: addressesOn?.length ? addressesOn : undefined,
    addressPerFlow: addressPerFlow ? true : undefined,
    fastPath: fastPath ? true : undefined,
    portsPerPod,
    portBlocksPerNamespace,
    annotationNamespaces: annotationNamespaces ?? defaults.annotationNamespaces,
    onUnavailable: onUnavailable ?? defaults.onUnavailable,
  });
}

const byFamily = (addresses: readonly Address[]): AddressByFamily =>
  Object.fromEntries(addresses.map((address) => [familyOf(address), address]));

const toPolicy = ({ ports, pods, destinations, except, priority, optIn, ...policy }: Listed<'policies'>): Policy => {
  const { name, namespaces, podSelector, namespaceSelector, exit, onChange, ...others } = policy;
  nothingElse(others);
  return whole<Policy>({
    name,
    namespaces,
    pods: pods ?? defaults.pods,
    podSelector: podSelector && toSelector(podSelector),
    namespaceSelector: namespaceSelector && toSelector(namespaceSelector),
    destinations: destinations ?? defaults.destinations,
    except: except ?? [],
    ports: ports && mergePortRanges(ports),
    exit,
    priority: priority ?? defaults.priority,
    optIn: optIn ? true : undefined,
    onChange: onChange === 'cut' ? 'cut' : undefined,
    ofTenant: undefined,
  });
};

/** A label selector as one list of requirements. */
export const toSelector = ({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Selector => [
  ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
  ...matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values })),
];
