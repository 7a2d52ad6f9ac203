import type { Hex } from '../../nftables/expression.ts';
import { address as addressField, be16, be32, type Field, hex, nested, u8, u32 } from '../netlink/field.ts';
import { decode, type Table, type Values } from '../netlink/wire.ts';
import { message } from '../rtnetlink/message.ts';

/** CTA_IP_*. */
const ipTable = {
  source4: [1, addressField],
  destination4: [2, addressField],
  source6: [3, addressField],
  destination6: [4, addressField],
} as const satisfies Table;

/** Attributes that go back to the kernel as they came, unknown ones too. */
const asTheyCame: Field<Hex> & { readonly nested: true } = { ...hex, nested: true };

/** CTA_TUPLE_*: one direction of a flow. */
const tupleTable = {
  ip: [1, nested(ipTable)],
  protocol: [2, asTheyCame],
  zone: [3, be16],
} as const satisfies Table;

/** CTA_PROTO_*: the attributes of `protocol` in a tuple. */
export const protocolTable = {
  number: [1, u8],
  sourcePort: [2, be16],
  destinationPort: [3, be16],
} as const satisfies Table;

/** struct nf_ct_tcp_flags: the flags of a direction, and a mask of the flags to set. */
const flagsAndMask: Field<number> = {
  encode: (flags) => Buffer.from([flags, flags]),
  decode: (bytes) => bytes.readUInt8(0),
};

/** CTA_PROTOINFO_TCP, in it CTA_PROTOINFO_TCP_*. */
const protocolInfoTable = {
  tcp: [1, nested({ state: [1, u8], originalFlags: [4, flagsAndMask], replyFlags: [5, flagsAndMask] })],
} as const satisfies Table;

/** CTA_NAT_*: an address and a port, where ranges of one are all we need. */
const natTable = {
  address4: [1, addressField],
  lastAddress4: [2, addressField],
  ports: [3, nested({ first: [1, be16], last: [2, be16] })],
  address6: [4, addressField],
  lastAddress6: [5, addressField],
} as const satisfies Table;

/** CTA_FILTER_*: the parts of the given tuples that a flow must have. */
const filterTable = { originalFlags: [1, u32], replyFlags: [2, u32] } as const satisfies Table;

/** linux/netfilter/nfnetlink_conntrack.h: CTA_*. */
const flowTable = {
  original: [1, nested(tupleTable)],
  reply: [2, nested(tupleTable)],
  status: [3, be32],
  protocolInfo: [4, nested(protocolInfoTable)],
  sourceNat: [6, nested(natTable)],
  timeout: [7, be32],
  id: [12, be32],
  destinationNat: [13, nested(natTable)],
  zone: [18, be16],
  filter: [25, nested(filterTable)],
} as const satisfies Table;

/** struct nfgenmsg, then the flow. */
export const flowMessage = message({ family: u8, version: u8, resource: be16 }, flowTable);

/** Bytes of struct nfgenmsg. */
const headerLength = 4;

/** What is read of a flow that is listed: a node may have a hundred thousand of them. */
const listedTuple = { ip: [1, nested(ipTable)], protocol: [2, nested(protocolTable)] } as const satisfies Table;

/** CTA_ID, alone. */
const idTable = { id: [12, be32] } as const satisfies Table;

const listedTable = {
  original: [1, nested(listedTuple)],
  reply: [2, nested(listedTuple)],
  status: [3, be32],
  protocolInfo: [4, nested({ tcp: [1, nested({ state: [1, u8] })] })],
  ...idTable,
} as const satisfies Table;

/** The attributes of a flow that is listed, behind struct nfgenmsg. */
export const decodeListed = (body: Buffer): Values<typeof listedTable> => decode(listedTable, body, headerLength);

/** The number of a flow that is listed (CTA_ID): all else is passed over. */
export const idIn = (body: Buffer): number | undefined => decode(idTable, body, headerLength).id;

/** A flow as the kernel writes and reads it. */
export type FlowAttributes = Values<typeof flowTable>;
/** The same, as far as it is looked at. */
export type ListedFlow = Values<typeof listedTable>;
export type ListedTuple = Values<typeof listedTuple>;
/** One direction of it. */
export type Tuple = Values<typeof tupleTable>;
/** What its translation shall be. */
export type Nat = Values<typeof natTable>;

const NFNL_SUBSYS_CTNETLINK = 1 << 8;
export const messageTypes = {
  create: NFNL_SUBSYS_CTNETLINK,
  get: NFNL_SUBSYS_CTNETLINK | 1,
  delete: NFNL_SUBSYS_CTNETLINK | 2,
} as const;
