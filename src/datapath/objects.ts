import type { NftObject, Table } from '../nftables/object.ts';
import { address, type InterfaceAddress } from './kinds/address.ts';
import { type Behind, behind } from './kinds/behind.ts';
import { chain } from './kinds/chain.ts';
import { element } from './kinds/element.ts';
import { type Forwarding, forwarding } from './kinds/forwarding.ts';
import { type IngressMark, ingressMark } from './kinds/ingress-mark.ts';
import type { Kind, OutsideKind } from './kinds/kind.ts';
import { type Neighbour, neighbour } from './kinds/neighbour.ts';
import { type NodeRoute, type Route, route } from './kinds/route.ts';
import { type NodeRule, type PolicyRule, rule } from './kinds/rule.ts';
import { set } from './kinds/set.ts';
import { type Sysctl, sysctl } from './kinds/sysctl.ts';
import { table } from './kinds/table.ts';
import { type TunnelLink, tunnel } from './kinds/tunnel.ts';

export { ofKind } from './kinds/kind.ts';
export type { Link, Mac } from './link.ts';
export type {
  Behind,
  Forwarding,
  IngressMark,
  InterfaceAddress,
  Neighbour,
  NodeRoute,
  NodeRule,
  PolicyRule,
  Route,
  Sysctl,
  TunnelLink,
};

/** Our objects outside of nftables. */
export type OutsideObject =
  | TunnelLink
  | InterfaceAddress
  | Behind
  | Sysctl
  | Neighbour
  | Forwarding
  | Route
  | PolicyRule
  | IngressMark;

/** Something that is not ours, and carries our number or our name. */
export type Other = Table | NodeRule | NodeRoute;

/** Anything that we set up on a node. */
export type HostObject = Table | NftObject | OutsideObject;

type Of<K extends HostObject['kind']> = Extract<HostObject, { readonly kind: K }>;

/**
 * Each kind outside of nftables, in the order of setting up: a device before the objects on it, and a route before the
 * rule that points to it.
 */
export const outsideKinds: { readonly [K in OutsideObject['kind']]: OutsideKind<Of<K>> } = {
  tunnel,
  address,
  behind,
  sysctl,
  neighbour,
  forwarding,
  route,
  rule,
  ingressMark,
};

/**
 * Each kind in our tables, in the order of removal: elements before chains, and chains before the sets that their rules
 * look into.
 */
export const nftKinds: { readonly [K in (Table | NftObject)['kind']]: Kind<Of<K>> } = { element, chain, set, table };

const kinds: { readonly [K in HostObject['kind']]: Kind<HostObject> } = { ...nftKinds, ...outsideKinds };

/** The descriptor of an object's kind. It takes objects of that kind alone. */
export const kindOf = ({ kind }: HostObject): Kind<HostObject> => kinds[kind];

/** The same for kinds outside of nftables. */
export const outsideKindOf = ({ kind }: OutsideObject): OutsideKind<OutsideObject> => outsideKinds[kind];

/** Whether it is none of our tables, and nothing in them. */
export const isOutside = (object: HostObject): object is OutsideObject => object.kind in outsideKinds;
