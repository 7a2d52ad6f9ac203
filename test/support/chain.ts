import { world } from './world.ts';

/** The versions of the specification that the plugin speaks. */
export const cniVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** The plugins that egress is chained after here. */
export const primaries = ['bridge', 'ptp'] as const;

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** The exit of the lab: out of eth1, which is not the way of the default route, with an address of its own. */
export const partners = {
  name: 'partners',
  interface: world.back.interface,
  nextHop: world.back.gateway,
  addresses: world.exitAddress,
} as const;

/** All pods of the namespace `default` leave by {@link partners} when they go outside. */
export const policy = {
  clusterCIDRs: world.cluster,
  exits: [partners],
  policies: [{ name: 'partners', namespaces: ['default'], destinations: world.outside, exit: 'partners' }],
} as const;

/** What a chain entry declares to be told the annotations of pods. */
export const capabilities = { 'io.kubernetes.cri.pod-annotations': true } as const;

/** The chain entry of egress with everything in it; `changes` replaces keys of {@link policy}. */
export const egressEntry = (changes: Json = {}): Json => ({ type: 'egress', ...policy, ...changes });

/** A network of a node: what a conflist says. */
export interface Network {
  readonly name: string;
  readonly cniVersion: string;
  readonly primary: (typeof primaries)[number];
  /** Device of the primary plugin `bridge`. */
  readonly bridge: string;
  /** One host-local range for each family. */
  readonly ranges: readonly Json[];
  /** The chain entry of egress; `undefined` for a chain without it. */
  readonly egress: Json | undefined;
}

/** The network that a node has from the start. */
export const defaultNetwork: Network = {
  name: 'cluster',
  cniVersion: '1.0.0',
  primary: 'bridge',
  bridge: 'cni0',
  ranges: [{ subnet: '10.0.0.0/24' }, { subnet: 'fd00:10::/64' }],
  egress: egressEntry(),
};

/** The text of the network's conflist. The primary plugin masquerades with iptables, as it does on most nodes. */
export function conflist(network: Network): string {
  const plugins = [primaryEntry(network), ...(network.egress === undefined ? [] : [network.egress])];
  return JSON.stringify({ cniVersion: network.cniVersion, name: network.name, plugins }, undefined, 2);
}

function primaryEntry({ primary, bridge, ranges }: Network): Json {
  const ipam = {
    type: 'host-local',
    ranges: ranges.map((range) => [range]),
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  };
  const own = primary === 'bridge' ? { bridge, isGateway: true } : {};
  return { type: primary, ...own, ipMasq: true, ipam };
}
