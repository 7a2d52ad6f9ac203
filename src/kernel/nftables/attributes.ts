import { be32, be32Signed, be64, cString, listOf, nested, raw } from '../netlink/field.ts';
import { encodeAttribute, type Table, walk } from '../netlink/wire.ts';
import { choice, data, dataAttributes, type Nested, rawNested } from './data.ts';

// The attributes of linux/netfilter/nf_tables.h in the order in which nft 1.0.6 writes them, so that our bytes can be
// compared with nft's.

/** NFTA_EXPR_*: the name decides the content of `data`. */
export const expressionAttributes = { name: [1, cString], data: [2, rawNested] } as const satisfies Table;

/** NFTA_COUNTER_* */
export const counterAttributes = { bytes: [1, be64], packets: [2, be64] } as const satisfies Table;

/** NFTA_TABLE_* */
export const tableAttributes = { table: [1, cString], flags: [2, be32] } as const satisfies Table;

/** NFTA_HOOK_*: the family decides the meaning of a hook's number. */
export const hookAttributes = {
  hook: [1, be32],
  priority: [2, be32Signed],
  device: [3, cString],
  /** Of chains at several interfaces. */
  devices: [4, listOf(1, cString)],
} as const satisfies Table;

/** NFTA_CHAIN_* */
export const chainAttributes = {
  table: [1, cString],
  name: [3, cString],
  type: [7, cString],
  policy: [
    5,
    choice([
      ['accept', 1],
      ['drop', 0],
    ]),
  ],
  hook: [4, nested(hookAttributes)],
  use: [6, be32],
} as const satisfies Table;

/** NFTA_RULE_* */
export const ruleAttributes = {
  table: [1, cString],
  chain: [2, cString],
  expressions: [4, listOf(1, nested(expressionAttributes))],
  userdata: [7, raw],
} as const satisfies Table;

/** NFT_SET_* */
export const setFlags = { interval: 0x4, map: 0x8 } as const;

/** NFTA_SET_*. The kernel gives each new element an expression like that of the set. */
export const setAttributes = {
  table: [1, cString],
  name: [2, cString],
  flags: [3, be32],
  keyType: [4, be32],
  keyLength: [5, be32],
  dataType: [6, be32],
  dataLength: [7, be32],
  id: [10, be32],
  userdata: [13, raw],
  expression: [17, nested(expressionAttributes)],
} as const satisfies Table;

/** NFTA_SET_ELEM_* */
export const elementAttributes = {
  flags: [3, be32],
  key: [1, data],
  data: [2, nested(dataAttributes)],
  userdata: [6, raw],
  expression: [7, nested(expressionAttributes)],
} as const satisfies Table;

/** Elements that are encoded already: nft numbers them from 1, the kernel gives all of them the number 1. */
const elements: Nested<readonly Buffer[]> = {
  nested: true,
  encode: (list) => Buffer.concat(list.map((element, i) => encodeAttribute(i + 1, rawNested, element))),
  decode: (bytes) => walk(bytes).map(({ payload }) => payload),
};

/** NFTA_SET_ELEM_LIST_* */
export const elementListAttributes = {
  table: [1, cString],
  set: [2, cString],
  setId: [4, be32],
  elements: [3, elements],
} as const satisfies Table;

/** NFTA_GEN_* */
export const generationAttributes = { id: [1, be32] } as const satisfies Table;

/** NFNL_BATCH_* (linux/netfilter/nfnetlink.h) */
export const batchAttributes = { generation: [1, be32] } as const satisfies Table;
