import type { Address, Family, Prefix } from '../base/address.ts';
import type { NftObject, Table } from '../nftables/object.ts';

/** A policy rule (`ip rule`) of ours. Marks and masks are unsigned 32-bit numbers. */
export interface PolicyRule {
  readonly kind: 'rule';
  readonly family: Family;
  readonly priority: number;
  readonly action: { readonly goto: number } | { readonly lookup: number } | 'nop' | 'unreachable';
  /** Only packets that come in by this interface. */
  readonly input?: string;
  readonly fwmark?: { readonly value: number; readonly mask: number };
  /** `ip rule … not …` */
  readonly invert?: true;
}

/** A route in a table of ours. */
export interface Route {
  readonly kind: 'route';
  readonly family: Family;
  readonly table: number;
  /** Absent: everything, the default route. */
  readonly destination?: Prefix;
  /** `unreachable` stands behind every exit: what cannot leave by it is dropped, and the pod is told. */
  readonly type: 'unicast' | 'unreachable';
  /** Name of the interface; absent for `unreachable`. */
  readonly device?: string;
  /** The next hop; one of IPv6 may stand in a route of IPv4 (RTA_VIA, Linux 5.2). */
  readonly via?: Address;
  /** The next hop is on the interface, whatever the interface's own addresses say (RTNH_F_ONLINK). */
  readonly onlink?: true;
  /** Lower wins. 0 is the kernel's default for IPv4; for IPv6 the kernel makes 1024 of it, so we always say which. */
  readonly metric: number;
}

/** A policy rule of the node, whoever made it. */
export interface NodeRule extends Omit<PolicyRule, 'action'> {
  /** `other`: an action that we never use, by its number FR_ACT_* in linux/fib_rules.h (`prohibit`, …). */
  readonly action: PolicyRule['action'] | { readonly other: number };
  /** Who made it (RTPROT_* of linux/rtnetlink.h). Absent: it has our number. */
  readonly protocol?: number;
  /** Only packets with such a source, or destination. */
  readonly from?: Prefix;
  readonly to?: Prefix;
  /** It acts on fewer packets than is told here: those of a user, of a port, that routes of some kind are for … */
  readonly narrower?: true;
}

/** A route of the node, whoever made it. */
export interface NodeRoute extends Omit<Route, 'type'> {
  /** Name of RTN_* of linux/rtnetlink.h, in lower case: `unicast`, `blackhole`, … */
  readonly type: string;
  /** Who made it (RTPROT_* of linux/rtnetlink.h). Absent: it has our number. */
  readonly protocol?: number;
  /** Several next hops, which are not told here. */
  readonly several?: true;
  /** It is for fewer packets than is told here: those of a type of service, or of IPv6 from some sources. */
  readonly narrower?: true;
}

/** Something that is not ours, and carries our number or our name. */
export type Other = Table | NodeRule | NodeRoute;

/** A kernel parameter below /proc/sys, by its path there: `net/ipv4/conf/eth1/rp_filter` (an interface may hold dots). */
export interface Sysctl {
  readonly kind: 'sysctl';
  readonly name: string;
  readonly value: string;
}

/** A MAC address in canonical text: six pairs of lower-case hexadecimal digits with colons. */
export type Mac = string;

/** Our tunnel device: VXLAN with group policy, without any default remote. */
export interface TunnelLink {
  readonly kind: 'tunnel';
  readonly name: string;
  /** VXLAN network identifier: 1…16777215. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** Underlay address that packets are sent from. */
  readonly local: Address;
  readonly mac: Mac;
  /** Bytes of an inner IP packet. */
  readonly mtu: number;
  /** The low 16 bits of the packet mark travel in the header (IFLA_VXLAN_GBP). */
  readonly groupPolicy: boolean;
  /** Forwarding entries are made from what comes in: never by us (IFLA_VXLAN_LEARNING). */
  readonly learning: boolean;
  /** Administratively up. */
  readonly up: boolean;
}

/** An address of an interface, made by us. */
export interface InterfaceAddress {
  readonly kind: 'address';
  readonly device: string;
  readonly address: Address;
  readonly prefixLength: number;
  /** `link`: never the source of packets to other networks. */
  readonly scope: 'global' | 'link';
}

/** A permanent neighbour: which MAC address a next hop has. */
export interface Neighbour {
  readonly kind: 'neighbour';
  readonly device: string;
  readonly address: Address;
  readonly mac: Mac;
}

/** A permanent forwarding entry of a tunnel device: to which underlay address packets for a MAC address are sent. */
export interface Forwarding {
  readonly kind: 'forwarding';
  readonly device: string;
  readonly mac: Mac;
  readonly remote: Address;
}

/** An address of IPv4 on an interface of others that the kernel finds there only when no other interface has it. */
export interface Behind {
  readonly kind: 'behind';
  readonly device: string;
  readonly address: Address;
}

/** What we set up outside of nftables. */
export type OutsideObject =
  | Behind
  | TunnelLink
  | InterfaceAddress
  | Neighbour
  | Forwarding
  | PolicyRule
  | Route
  | Sysctl;

/** Anything that we set up on a node. */
export type HostObject = Table | NftObject | OutsideObject;

/** A network interface of the node, as far as an exit must know it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** `veth`, `bridge`, …; absent for a physical device. */
  readonly type?: string;
  /**
   * The interface that this one is a part of, with its kind as the kernel calls it: a port of a `bridge`, a link of a `bond`
   * or `team`, a member of a `vrf`. Packets of the host's routes do not leave by parts.
   */
  readonly master?: { readonly index: number; readonly type?: string };
  /** Bytes of the largest IP packet. */
  readonly mtu: number;
  /** Absent where the kind of device has none. */
  readonly mac?: Mac;
}
