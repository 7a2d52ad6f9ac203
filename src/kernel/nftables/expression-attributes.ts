import { be32, cString, nested, u8 } from '../netlink/field.ts';
import type { Table } from '../netlink/wire.ts';
import { choice, data, dataAttributes } from './data.ts';

// The attributes of each expression (linux/netfilter/nf_tables.h) in the order in which nft 1.0.6 writes them.
// Attributes that only others' rules have are here, too: seen, they tell such rules from ours.

/** NFTA_META_* */
export const metaAttributes = {
  key: [
    2,
    choice([
      ['protocol', 1],
      ['mark', 3],
      ['oif', 5],
      ['iifname', 6],
      ['oifname', 7],
      ['nfproto', 15],
      ['l4proto', 16],
    ]),
  ],
  dreg: [1, be32],
  sreg: [3, be32],
} as const satisfies Table;

/** NFTA_PAYLOAD_* */
export const payloadAttributes = {
  dreg: [1, be32],
  base: [
    2,
    choice([
      ['network', 1],
      ['transport', 2],
    ]),
  ],
  offset: [3, be32],
  length: [4, be32],
} as const satisfies Table;

/** NFTA_PAYLOAD_*, where a header is written. */
export const payloadSetAttributes = {
  sreg: [5, be32],
  base: [2, choice([['network', 1]])],
  offset: [3, be32],
  length: [4, be32],
  checksum: [
    6,
    choice([
      ['none', 0],
      ['inet', 1],
    ]),
  ],
  checksumOffset: [7, be32],
  checksumFlags: [8, be32],
} as const satisfies Table;

/** NFTA_EXTHDR_* */
export const exthdrAttributes = {
  dreg: [1, be32],
  header: [2, u8],
  offset: [3, be32],
  length: [4, be32],
  op: [6, choice([['ipv6', 0]])],
  flags: [5, be32],
} as const satisfies Table;

/** NFTA_EXTHDR_*, where a TCP option is written: the kernel takes no flags here, and lists the number 0 for them. */
export const tcpOptionAttributes = {
  sreg: [7, be32],
  option: [2, u8],
  offset: [3, be32],
  length: [4, be32],
  op: [6, choice([['tcpopt', 1]])],
} as const satisfies Table;

/** NFTA_CT_* of a connection's keys without direction. */
export const ctAttributes = {
  key: [
    2,
    choice([
      ['state', 0],
      ['direction', 1],
      ['status', 2],
      ['protocol', 10],
      ['label', 13],
      ['id', 23],
    ]),
  ],
  dreg: [1, be32],
} as const satisfies Table;

/** NFTA_CT_* of what a rule gives a connection: of a label the bits are added to those that are there. */
export const ctSetAttributes = { key: [2, choice([['label', 13]])], sreg: [4, be32] } as const satisfies Table;

/** NFTA_CT_* of a connection's keys with a direction (IP_CT_DIR_*). */
export const ctTupleAttributes = {
  key: [
    2,
    choice([
      ['proto_src', 11],
      ['src_ip', 19],
      ['dst_ip', 20],
      ['src_ip6', 21],
      ['dst_ip6', 22],
    ]),
  ],
  dreg: [1, be32],
  direction: [
    3,
    choice(
      [
        ['original', 0],
        ['reply', 1],
      ],
      u8,
    ),
  ],
} as const satisfies Table;

/** NFTA_RT_* */
export const rtAttributes = { key: [2, choice([['tcpmss', 3]])], dreg: [1, be32] } as const satisfies Table;

/** NFTA_FIB_*. The flags name the address to look up and the interface, or ask only for the presence of a result. */
export const fibAttributes = {
  field: [
    3,
    choice([
      ['saddr', 1],
      ['saddr . oif', 17],
      ['saddr . iif', 41], // with NFTA_FIB_F_PRESENT
      ['daddr', 2],
      ['daddr exists', 34], // with NFTA_FIB_F_PRESENT
      ['daddr . iif', 42], // with NFTA_FIB_F_PRESENT
    ]),
  ],
  result: [
    2,
    choice([
      ['oif', 1],
      ['oifname', 2],
      ['type', 3],
    ]),
  ],
  dreg: [1, be32],
} as const satisfies Table;

/** NFTA_BITWISE_* */
export const bitwiseAttributes = {
  sreg: [1, be32],
  dreg: [2, be32],
  operation: [6, choice([['mask-xor', 0]])],
  length: [3, be32],
  mask: [4, data],
  xor: [5, data],
} as const satisfies Table;

/** NFTA_BYTEORDER_* */
export const byteorderAttributes = {
  sreg: [1, be32],
  dreg: [2, be32],
  op: [3, choice([['hton', 1]])],
  length: [4, be32],
  size: [5, be32],
} as const satisfies Table;

/** NFTA_CMP_* */
export const cmpAttributes = {
  sreg: [1, be32],
  op: [
    2,
    choice([
      ['eq', 0],
      ['neq', 1],
      ['gte', 5],
    ]),
  ],
  data: [3, data],
} as const satisfies Table;

/** NFTA_LOOKUP_* */
export const lookupAttributes = {
  sreg: [2, be32],
  dreg: [3, be32],
  set: [1, cString],
  setId: [4, be32],
  flags: [5, be32],
} as const satisfies Table;

/** NFTA_IMMEDIATE_* */
export const immediateAttributes = { dreg: [1, be32], data: [2, nested(dataAttributes)] } as const satisfies Table;

/** NFTA_NAT_* */
export const natAttributes = {
  type: [1, choice([['snat', 0]])],
  family: [
    2,
    choice([
      [4, 2],
      [6, 10],
    ]),
  ],
  addressRegister: [3, be32],
  lastAddressRegister: [4, be32],
  portRegister: [5, be32],
  lastPortRegister: [6, be32],
  flags: [7, be32],
} as const satisfies Table;

/** NFTA_MASQ_*: ours has none of them. */
export const masqAttributes = {
  flags: [1, be32],
  portRegister: [2, be32],
  lastPortRegister: [3, be32],
} as const satisfies Table;
