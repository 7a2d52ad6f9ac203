import { type Address, type Family, families, familyOf, type Prefix, parsePrefix } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { ResolvedExit, Way } from '../datapath/exit.ts';
import type { Link } from '../datapath/objects.ts';
import type { AddressByFamily, Exit } from '../policy/exit.ts';

/** An address of an interface, in the order in which the kernel lists them. */
export interface InterfaceAddress {
  readonly family: Family;
  readonly address: Address;
  readonly prefixLength: number;
  /** RT_SCOPE_* of linux/rtnetlink.h. */
  readonly scope: number;
  /** Whether packets may leave with it, and will for a while: not tentative, deprecated or a duplicate. */
  readonly usable: boolean;
}

/** The facts of an exit's interface on this node; no `link` without an interface of that name. */
export interface InterfaceFacts {
  readonly link?: Link;
  readonly addresses: readonly InterfaceAddress[];
}

/** An exit that leaves from this node. */
export interface LocalExit extends Exit {
  readonly interface: string;
}

/** The exit on this node, which its packets leave from, by the facts of now. */
export function resolveExit(exit: LocalExit, facts: InterfaceFacts): ResolvedExit {
  requireUsableLink(exit, facts.link);
  requireOtherHop(exit, facts.addresses);
  const addresses = addressesOf(exit, facts.addresses);
  const ways = families.flatMap((family) => wayOf(family, addresses, hopOf(exit, family), facts.addresses));
  if (ways.length === 0) throw new EgressError('exit-address', noAddress(exit));
  const { name, id, interface: device, addressesOn } = exit;
  return { name, id, device, ways, ...(addressesOn && { addressesOn }), ...traitsOf(exit) };
}

/**
 * An exit with an interface that is missing or down, by the facts there are. Its pods shall leave with the node's
 * address meanwhile. A family without known addresses has none, and is not dropped.
 */
export function resolveUnavailable(exit: LocalExit, { addresses: own }: InterfaceFacts): ResolvedExit {
  const addresses = addressesOf(exit, own);
  const known = families.flatMap((family) => wayOf(family, addresses, hopOf(exit, family), own));
  const allowed = isEmpty(exit.nextHops) ? families : families.filter((family) => exit.nextHops[family] !== undefined);
  const isMissing = (family: Family) => exit.addresses.length === 0 && !known.some((way) => way.family === family);
  const unknown = allowed.filter(isMissing).map((family): Way => {
    return { family, addresses: [], ...hopOf(exit, family) };
  });
  const ways = [...known, ...unknown].sort((a, b) => a.family - b.family);
  const { name, id, interface: device, addressesOn } = exit;
  return { name, id, device, ways, ...(addressesOn && { addressesOn }), ...traitsOf(exit) };
}

/** Whether pods may be given the exit while its interface is as this: they leave with the node's address until it is back. */
export const isUnavailable = (
  { onUnavailable }: { readonly onUnavailable?: string },
  link: Link | undefined,
): boolean => onUnavailable === 'node' && link?.up !== true;

/** The exit on a node whose packets reach it through the tunnel. */
export function resolveThroughTunnel(exit: Exit, gateway: Address, device: string): ResolvedExit {
  const ways = families.flatMap((family) => wayOf(family, exit.addresses, {}, []));
  return { name: exit.name, id: exit.id, device, ways, gateway, ...traitsOf(exit) };
}

const traitsOf = ({
  gateways,
  fastPath,
  addressPerFlow,
  onUnavailable,
}: Exit): Pick<ResolvedExit, 'shared' | 'fastPath' | 'addressPerFlow' | 'onUnavailable'> => ({
  ...(gateways.length > 0 && { shared: true }),
  ...(fastPath && { fastPath }),
  ...(addressPerFlow && { addressPerFlow }),
  ...(onUnavailable === 'node' && { onUnavailable }),
});

function requireUsableLink(exit: LocalExit, link: Link | undefined): void {
  const trouble = link === undefined ? 'does not exist on this node' : link.up ? whyNoWay(link) : 'is down';
  if (trouble === undefined) return;
  throw new EgressError(
    'exit-interface',
    `Exit "${exit.name}" leaves by interface "${exit.interface}", which ${trouble}`,
  );
}

/**
 * Why the kernel lets no packets of pods leave by an interface, however well it works otherwise, as the end of a sentence
 * about it; `undefined` for an ordinary interface. A part of another interface has no routes and no answers of its own.
 * Addresses and routes of a VRF's members are in the VRF's table: answers look for the pods there.
 */
export function whyNoWay({ type, master }: Link): string | undefined {
  if (type === 'vrf') return `is a VRF: pods outside of it get no answers from there`;
  if (master === undefined) return undefined;
  const what = partOf[master.type ?? ''] ?? 'a part of another interface, which packets leave by in its place';
  return `is ${what}`;
}

/** Kinds of interfaces that have others as their parts: IFLA_INFO_SLAVE_KIND. */
const partOf: Readonly<Record<string, string>> = {
  vrf: 'a member of a VRF: what pods send would leave, but answers look for the pods in the table of the VRF',
  bridge: 'a port of a bridge, which packets leave by in its place',
  bond: 'a link of a bond, which packets leave by in its place',
  team: 'a link of a team, which packets leave by in its place',
};

/** The kernel takes a next hop that is the node itself for none at all: all destinations would be neighbours. */
function requireOtherHop(exit: LocalExit, own: readonly InterfaceAddress[]): void {
  const hop = own.find(({ address, family }) => address === exit.nextHops[family])?.address;
  if (hop === undefined) return;
  throw new EgressError(
    'exit-interface',
    `Exit "${exit.name}" has the next hop ${hop}, which is the own address of interface "${exit.interface}" on this node`,
  );
}

/** Whether no family has an address. */
const isEmpty = (addresses: AddressByFamily): boolean => families.every((family) => addresses[family] === undefined);

function addressesOf(exit: Exit, own: readonly InterfaceAddress[]): readonly Address[] {
  if (exit.addresses.length > 0) return exit.addresses;
  const wanted = families.filter((family) => isEmpty(exit.nextHops) || exit.nextHops[family] !== undefined);
  const firstOf = (family: Family) => own.find((candidate) => candidate.family === family && isGlobal(candidate));
  return wanted.flatMap((family) => firstOf(family)?.address ?? []);
}

/** RT_SCOPE_UNIVERSE, which `ip address` calls global. */
const globalScope = 0;

const isGlobal = ({ scope, usable }: InterfaceAddress): boolean => usable && scope === globalScope;

type Hop = Pick<Way, 'via' | 'onlink'>;

function hopOf({ nextHops, onlink }: Exit, family: Family): Hop {
  const via = nextHops[family];
  return via === undefined ? {} : { via, ...(onlink && { onlink }) };
}

function wayOf(family: Family, all: readonly Address[], hop: Hop, own: readonly InterfaceAddress[]): Way[] {
  const addresses = all.filter((address) => familyOf(address) === family);
  if (addresses.length === 0) return [];
  const networks = hop.via === undefined ? [] : networksOf(family, own);
  return [{ family, addresses, ...hop, ...(networks.length > 0 && { networks }) }];
}

/** The networks that the interface is in: the next hop would only send their packets back. */
function networksOf(family: Family, own: readonly InterfaceAddress[]): Prefix[] {
  const fullLength = family === 4 ? 32 : 128;
  const networks = own
    .filter(({ address, scope, prefixLength }) => {
      return familyOf(address) === family && scope === globalScope && prefixLength < fullLength;
    })
    .flatMap(({ address, prefixLength }) => parsePrefix(`${address}/${prefixLength}`) ?? []);
  return [...new Set(networks)].sort();
}

function noAddress(exit: LocalExit): string {
  const wanted = families.filter((family) => exit.nextHops[family] !== undefined);
  const kind = wanted.length === 1 ? `IPv${wanted[0]} address` : 'address';
  return `Exit "${exit.name}" has no addresses, and its interface "${exit.interface}" has no global ${kind} in use`;
}
