import type { Address, Family } from '../base/address.ts';
import type { NftObject, Table } from '../nftables/object.ts';

/** A policy rule (`ip rule`) of ours. Marks and masks are unsigned 32-bit numbers. */
export interface PolicyRule {
  readonly kind: 'rule';
  readonly family: Family;
  readonly priority: number;
  readonly action: { readonly goto: number } | { readonly lookup: number } | 'nop';
  readonly fwmark?: { readonly value: number; readonly mask: number };
  /** `ip rule … not …` */
  readonly invert?: true;
}

/** A default route in the table of an exit. */
export interface Route {
  readonly kind: 'route';
  readonly family: Family;
  readonly table: number;
  /** `unreachable` stands behind every exit: what cannot leave by it is dropped, and the pod is told. */
  readonly type: 'unicast' | 'unreachable';
  /** Name of the interface; absent for `unreachable`. */
  readonly device?: string;
  readonly via?: Address;
  /** Lower wins. 0 is the kernel's default for IPv4; for IPv6 the kernel makes 1024 of it, so we always say which. */
  readonly metric: number;
}

/** A kernel parameter below /proc/sys, by its path there: `net/ipv4/conf/eth1/rp_filter` (an interface may hold dots). */
export interface Sysctl {
  readonly kind: 'sysctl';
  readonly name: string;
  readonly value: string;
}

/** Anything that we set up on a node. */
export type HostObject = Table | NftObject | PolicyRule | Route | Sysctl;

/** A network interface of the node, as far as an exit must know it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** `veth`, `bridge`, …; absent for a physical device. */
  readonly type?: string;
}
