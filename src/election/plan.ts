import { type Address, type Family, families, familyOf } from '../base/address.ts';
import { fnv1a } from '../base/fnv1a.ts';

/** An exit, as far as its gateways agree about who holds its addresses. */
export interface SharedExit {
  readonly name: string;
  /** Underlay addresses of the gateways, the preferred one first. */
  readonly gateways: readonly Address[];
  readonly addresses: readonly Address[];
  /** Name of the interface that the addresses are on, at this node. */
  readonly device: string;
}

/** What may be set for the gateways of an exit. */
export interface ElectionOptions {
  /** Of all lists of gateways; absent: made from each list. 1…255. */
  readonly vrid?: number;
  /** Between two advertisements, in milliseconds: 10…40950. */
  readonly intervalMs: number;
  readonly preempt: boolean;
}

/** A Virtual Router that this node is one of the routers of: one for each list of gateways, interface and family. */
export interface Instance {
  /** Tells it from the others of this node. */
  readonly key: string;
  readonly device: string;
  readonly family: Family;
  readonly vrid: number;
  /** 1…254. */
  readonly priority: number;
  /** Centiseconds. */
  readonly interval: number;
  readonly preempt: boolean;
  /** Each once, and at least one. */
  readonly addresses: readonly Address[];
  readonly gateways: readonly Address[];
  /** Names of exits, in their order. */
  readonly exits: readonly string[];
  /** Names of other interfaces that it takes to serve. */
  readonly needs: readonly string[];
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
  return [...groups.values()].flatMap((group) =>
    families.flatMap((family) => instanceOf(group, family, own, options, needs)),
  );
}

function instanceOf(
  group: readonly SharedExit[],
  family: Family,
  own: Address,
  { vrid, intervalMs, preempt }: ElectionOptions,
  needs: readonly string[],
): Instance[] {
  const [first] = group;
  const concerned = group.filter(({ addresses }) => addresses.some((address) => familyOf(address) === family));
  if (first === undefined || concerned.length === 0) return [];
  const { device, gateways } = first;
  const all = concerned.flatMap(({ addresses }) => addresses.filter((address) => familyOf(address) === family));
  return [
    {
      key: `${device} ${family} ${gateways.join(' ')}`,
      ...{ device, family, gateways, preempt, needs: needs.filter((name) => name !== device) },
      vrid: vrid ?? vridOf(gateways),
      priority: priorityOf(gateways.indexOf(own), gateways.length),
      interval: Math.round(intervalMs / 10),
      addresses: [...new Set(all)].sort(),
      exits: concerned.map(({ name }) => name),
    },
  ];
}

/** The VRID of a list of gateways, the same on each of them: 1…255. */
export const vridOf = (gateways: readonly Address[]): number => 1 + (fnv1a(gateways.join(' ')) % 255);

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
  [...(family === 6 ? [linkLocalOf(vrid)] : []), ...addresses.slice(0, mostAddresses)] as readonly Address[];

/** The link-local address that stands for a Virtual Router: from its virtual MAC (RFC 9568, 7.3), as RFC 4291 makes it. */
const linkLocalOf = (vrid: number): Address => `fe80::200:5eff:fe00:${(0x200 + vrid).toString(16)}`;
