import { type InTable, tableName } from '../../nftables/object.ts';
import { genericHeaderLength } from '../netlink/our-table.ts';
import type { Reply, Request } from '../netlink/socket.ts';
import { decode, encode, type Table, type Values } from '../netlink/wire.ts';

/** The messages that we send (linux/netfilter/nf_tables.h, enum nf_tables_msg_types). */
export const messageTypes = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElement: 12,
  getElement: 13,
  deleteElement: 14,
  getGeneration: 16,
} as const;

/** NFNL_SUBSYS_NFTABLES */
export const subsystem = 10;
/** NFPROTO_UNSPEC, for listings of all; NFPROTO_INET for both families of addresses, and NFPROTO_NETDEV. */
const families = { any: 0, inet: 1, netdev: 5 } as const;

/** The bytes between the netlink header and the attributes (linux/netfilter/nfnetlink.h, struct nfgenmsg). */
export const genericHeader = (familyNumber: number, resource: number): Buffer =>
  Buffer.of(familyNumber, 0, resource >> 8, resource & 0xff);

/** A message about something in one of our tables, or in all tables of `any` family. */
export function message<T extends Table>(
  type: keyof typeof messageTypes,
  flags: number,
  table: T,
  values: Values<T>,
  { family }: InTable | { readonly family: 'any' } = {},
): Request {
  return {
    type: (subsystem << 8) | messageTypes[type],
    flags,
    body: encode(table, values, genericHeader(families[family ?? 'inet'], 0)),
  };
}

/** The attributes of a message from the kernel. */
export const attributesOf = <T extends Table>(table: T, reply: Reply): Values<T> =>
  decode(table, reply.body, genericHeaderLength);

/** In the messages about tables, chains, rules, sets and elements the first attribute names the table: this one. */
export const ourTable = { table: tableName } as const;
