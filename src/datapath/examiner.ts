import type { Address } from '../base/address.ts';
import type { Expression, Hex } from '../nftables/expression.ts';
import type { Unknown } from '../nftables/observed.ts';
import type { Filter } from './filter.ts';
import type { TunnelEnds } from './host.ts';
import type { Mac } from './objects.ts';

/** Abilities of the kernel that can be tried. */
export const features = ['nf_tables', 'fib', 'intervals', 'egress hook', 'group policy', 'flowtable'] as const;

/** One of {@link features}. */
export type Feature = (typeof features)[number];

/** The result of a trial: without a problem it works. */
export interface Trial {
  readonly feature: Feature;
  /** The kernel’s words. */
  readonly problem?: string;
}

/** Abilities that were tried, or the reason why none could be. */
export type Trials = readonly Trial[] | { readonly untried: string };

/** A match or a target of xtables within a rule of nftables, as iptables-nft writes it. */
export interface Extension {
  readonly name: 'xt';
  readonly kind: 'match' | 'target';
  /** `MARK`, `MASQUERADE`, … */
  readonly extension: string;
  /** Its struct, as it lies in memory. */
  readonly info: Hex;
}

/** A rule of somebody else. */
export interface ForeignRule {
  /** The kernel's number, by which nft deletes it. */
  readonly handle: bigint;
  readonly expressions: readonly (Expression | Unknown | Extension)[];
}

/** A chain of somebody else, with its rules. */
export interface ForeignChain extends Pick<Filter, 'family' | 'table' | 'chain'> {
  /** Absent: others jump to it. */
  readonly base?: { readonly type: string; readonly hook: string; readonly priority: number };
  readonly rules: readonly ForeignRule[];
}

/** A VXLAN device of somebody else. */
export interface ForeignTunnel {
  readonly name: string;
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
}

/** A flowtable: connections that rules hand over to it pass no chain any more, from one of its interfaces to another. */
export interface ForeignFlowtable extends Pick<Filter, 'family' | 'table' | 'devices'> {
  readonly name: string;
}

/** The kernel's entry for a neighbour. */
export interface KnownNeighbour {
  /** In the kernel's words: `reachable`, `stale`, `failed`, … */
  readonly state: string;
  readonly mac?: Mac;
}

/** A packet that asks for an answer (ICMP echo), which nobody may take apart on its way. */
export interface Echo {
  readonly source: Address;
  readonly destination: Address;
  /** Of the whole IP packet: an even number. */
  readonly bytes: number;
  /** Not a ping, but a datagram to this port, on which nobody listens: the answer is that there is nobody. */
  readonly udpPort?: number;
  /** Into the tunnel, for an exit that the other end serves; the answer comes by itself. */
  readonly tunnel?: TunnelEnds & { readonly exitId: number };
}

/**
 * Questions that only somebody asks who looks for a fault: they take time, and some ask other machines. None of them
 * changes anything, but that the kernel hears answers, too, and may learn from them where a neighbour is now.
 */
export interface Examiner {
  /** Tries in a network namespace of its own, which goes with the process however that ends. */
  tryFeatures(): Promise<Trials>;
  /** Chains of others of all families, with their rules. */
  listForeignChains(): Promise<readonly ForeignChain[]>;
  listForeignTunnels(): Promise<readonly ForeignTunnel[]>;
  /** Flowtables of all tables. */
  listFlowtables(): Promise<readonly ForeignFlowtable[]>;
  readNeighbour(device: string, address: Address): Promise<KnownNeighbour | undefined>;
  /**
   * The MAC addresses of others on an interface that say they have an address: ARP probes (RFC 5227), and what looks for
   * duplicate addresses of IPv6 (RFC 4862). Takes the better part of a second; undefined for an interface without MAC.
   */
  whoHas(device: string, addresses: readonly Address[]): Promise<ReadonlyMap<Address, readonly Mac[]> | undefined>;
  /** Which of the packets were answered. Waits for answers for a fraction of a second. */
  echo(packets: readonly Echo[]): Promise<readonly boolean[]>;
}
