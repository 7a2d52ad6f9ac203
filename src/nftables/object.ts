import type { Expression, Hex, Verdict } from './expression.ts';

/** The types of a set's key or a map's value that we use, with nft's numbers (`enum datatypes`) and widths in bytes. */
export const dataTypes = {
  /** Conntrack's number of a connection, which has no type of its own in nft: `typeof ct id`. */
  ct_id: { number: 4, length: 4, order: 'big' },
  ipv4_addr: { number: 7, length: 4, order: 'big' },
  ipv6_addr: { number: 8, length: 16, order: 'big' },
  inet_service: { number: 13, length: 2, order: 'big' },
  mark: { number: 19, length: 4, order: 'host' },
  iface_index: { number: 20, length: 4, order: 'host' },
  fib_addrtype: { number: 38, length: 4, order: 'host' },
  ifname: { number: 41, length: 16, order: 'host' },
} as const;

/** The name of a row of {@link dataTypes}. */
export type DataType = keyof typeof dataTypes;

/** A part of a rule: the words that nft prints for it, and the instructions that the kernel runs for it. */
export interface Statement {
  readonly text: string;
  readonly expressions: readonly Expression[];
}

/** A rule, with its comment in `nft list` (at most 127 bytes). */
export interface Rule {
  readonly statements: readonly Statement[];
  readonly comment?: string;
}

/** Where a base chain is hooked in; a lower priority sees the packet earlier. */
export type Hook = InetHook | DeviceHook;

/** A hook of the family inet. Behind one of type `route` a packet whose mark was changed is routed again. */
export interface InetHook {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
}

/**
 * The hooks of the family netdev. At `egress` packets are handed to one device, after routing and neighbours. At
 * `ingress` they come out of one device, before bridges and IP.
 */
export interface DeviceHook {
  readonly type: 'filter';
  readonly hook: 'ingress' | 'egress';
  readonly device: string;
  readonly priority: number;
}

/** We have a table of each family, both named {@link tableName}. Without a family it is in the table of inet. */
export interface InTable {
  readonly family?: 'netdev';
}

/** A chain with all its rules: they are written, compared and removed together. */
export interface Chain extends InTable {
  readonly kind: 'chain';
  readonly name: string;
  readonly hook?: Hook;
  readonly rules: readonly Rule[];
}

/**
 * A set, or with `value` a map. `intervals` is the fixed content of an interval set: canonical prefixes, or for
 * `inet_service` ports and ranges of ports (`80`, `5060-5061`), none of which overlap. Other sets get their elements one
 * by one.
 */
export interface NftSet extends InTable {
  readonly kind: 'set';
  readonly name: string;
  readonly key: readonly DataType[];
  readonly value?: DataType | 'verdict';
  /** Each element counts the packets that it matched. */
  readonly counter?: true;
  readonly intervals?: readonly string[];
}

/** An element of a set or map that is no interval. */
export interface Element extends InTable {
  readonly kind: 'element';
  readonly set: string;
  readonly key: Hex;
  readonly value?: Hex;
  readonly verdict?: Verdict;
  /** Names the owner of the element (at most 127 bytes). */
  readonly comment?: string;
}

/** A table itself. */
export interface Table extends InTable {
  readonly kind: 'table';
  /** NFT_TABLE_F_* of linux/netfilter/nf_tables.h, but for 0: we give no table any, others may. */
  readonly flags?: number;
}

/** The family of a table as nft calls it. */
export const familyOfTable = ({ family }: Table): 'inet' | 'netdev' => family ?? 'inet';

/** NFT_TABLE_F_DORMANT: no chain of the table is hooked in. */
export const dormant = 1;

/** Anything in our tables. */
export type NftObject = NftSet | Chain | Element;

/** The name of both our tables. */
export const tableName = 'cni-egress';

/**
 * One step of a transaction. `flush` empties a set or takes the rules out of a chain; `add` of an existing set or chain
 * is no error, of an existing element is one.
 */
export type Operation =
  | { readonly verb: 'add' | 'delete'; readonly object: Table | NftObject }
  | { readonly verb: 'flush'; readonly object: NftSet | Chain };
