import { type Address, type Family, families, familyOf } from '../base/address.ts';

/** An exit, as far as its gateways agree about who holds its addresses. */
export interface SharedExit {
  readonly name: string;
  /** Underlay addresses of the gateways, the preferred one first. */
  readonly gateways: readonly Address[];
  readonly addresses: readonly Address[];
  /** Name of the interface that the addresses are on, at this node. */
  readonly device: string;
  /** The number of the Virtual Router of its list of gateways, 1…255. */
  readonly vrid: number;
}

/** What may be set for all gateways. */
export interface ElectionOptions {
  /** Between two advertisements, in milliseconds: 10…40950. */
  readonly intervalMs: number;
  readonly preempt: boolean;
}

/** Whom hints are for, and the tunnel that they take. */
export interface HintTargets {
  /** This node's end of the tunnel. */
  readonly own: Address;
  /** VXLAN network identifier: 1…16777215. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** Ends of the tunnel of all other nodes that are known, of the family of `own`. */
  readonly nodes: readonly Address[];
}

/** A Virtual Router that this node is one of the routers of: one for each list of gateways and interface. */
export interface Instance {
  /** Tells it from the others of this node. */
  readonly key: string;
  readonly device: string;
  /** The family that the routers speak: IPv4 where any of the addresses is of it. */
  readonly family: Family;
  readonly vrid: number;
  /** 1…254. */
  readonly priority: number;
  /** Centiseconds. */
  readonly interval: number;
  readonly preempt: boolean;
  /** Each once, those of `family` first, and at least one of them. */
  readonly addresses: readonly Address[];
  readonly gateways: readonly Address[];
  /** Names of exits, in their order. */
  readonly exits: readonly string[];
  /** Names of other interfaces that it takes to serve. */
  readonly needs: readonly string[];
  /** Why this node shall not be Active now, in words. */
  readonly paused?: string;
}

/** The Virtual Routers of the gateway with the underlay address `own`. Exits that it is no gateway of have none. */
export function instancesOf(
  exits: readonly SharedExit[],
  own: Address,
  options: ElectionOptions,
  needs: readonly string[],
): readonly Instance[] {
  const shared = exits.filter(({ gateways }) => gateways.length > 1 && gateways.includes(own));
  const groups = Map.groupBy(shared, ({ gateways, device }) => `${device} ${gateways.join(' ')}`);
  return [...groups].map(([key, group]) => instanceOf(key, group, own, options, needs));
}

function instanceOf(
  key: string,
  group: readonly SharedExit[],
  own: Address,
  { intervalMs, preempt }: ElectionOptions,
  needs: readonly string[],
): Instance {
  const { device = '', gateways = [], vrid = 0 } = group[0] ?? {};
  const all = group.flatMap(({ addresses }) => addresses);
  return {
    ...{ key, device, gateways, vrid, preempt },
    family: Math.min(...all.map(familyOf)) as Family,
    priority: priorityOf(gateways.indexOf(own), gateways.length),
    interval: Math.round(intervalMs / 10),
    addresses: families.flatMap((family) => [...new Set(all)].filter((one) => familyOf(one) === family).sort()),
    exits: group.map(({ name }) => name),
    needs: needs.filter((name) => name !== device),
  };
}

/**
 * The priority of a place in a list: 254 for the first. The next ones are as far below as the list allows, since a router
 * waits longer the lower its priority is, and of two that wait for the same time both begin.
 */
export const priorityOf = (place: number, count: number): number => Math.max(1, 254 - place * stepOf(count));

const stepOf = (count: number): number => Math.max(1, Math.min(48, Math.floor(253 / count)));

/** The gateway with a priority; `undefined` for one that none of the list has. */
export const gatewayWith = (priority: number, gateways: readonly Address[]): Address | undefined =>
  gateways.find((_, place) => priorityOf(place, gateways.length) === priority);

/** The addresses that fit into a packet that every link carries (1280 bytes), with a link-local one before those of IPv6. */
const mostAddresses = 76;

/**
 * What an instance advertises. RFC 9568, 5.2.9 wants a link-local address first: one that is made from the VRID, and that no
 * interface has, since nobody has a use for it.
 */
export const advertisedBy = ({ family, vrid, addresses }: Pick<Instance, 'family' | 'vrid' | 'addresses'>) =>
  [
    ...(family === 6 ? [linkLocalOf(vrid)] : []),
    ...addresses.filter((address) => familyOf(address) === family).slice(0, mostAddresses),
  ] as readonly Address[];

/** The link-local address that stands for a Virtual Router: from its virtual MAC (RFC 9568, 7.3), as RFC 4291 makes it. */
const linkLocalOf = (vrid: number): Address => `fe80::200:5eff:fe00:${(0x200 + vrid).toString(16)}`;
