import { cString } from '../src/kernel/netlink/field.ts';
import { eachAttribute } from '../src/kernel/netlink/wire.ts';

/** An attribute: bytes, or attributes again. */
interface Attribute {
  readonly type: number;
  readonly content: Buffer | readonly Attribute[];
}

/** struct nfgenmsg */
const headerLength = 4;
/** NLA_F_NESTED, in the last byte of the header of an attribute. */
const nestedFlag = 0x80;

/**
 * A message to nf_tables that makes something, as the kernel lists what it made, byte for byte where it matters: without the flag
 * for nested attributes, and with the attributes of instructions in its own order. What is decoded of it at build time is known
 * by these bytes. Where a kernel has another order, instructions are decoded when they are met.
 */
export function asListed(body: Buffer): Buffer {
  const attributes = attributesIn(body, headerLength, body.length).map((attribute) =>
    attribute.type === ruleExpressions ? { ...attribute, content: inside(attribute).map(listedExpression) } : attribute,
  );
  return Buffer.concat([body.subarray(0, headerLength), ...attributes.map(written)]);
}

function attributesIn(bytes: Buffer, start: number, end: number): readonly Attribute[] {
  const attributes: Attribute[] = [];
  eachAttribute(bytes, start, end, (type, from, to) => {
    const isNested = (bytes.readUInt8(from - 1) & nestedFlag) !== 0;
    attributes.push({ type, content: isNested ? attributesIn(bytes, from, to) : bytes.subarray(from, to) });
  });
  return attributes;
}

const inside = ({ content }: Attribute): readonly Attribute[] => (Buffer.isBuffer(content) ? [] : content);

function written({ type, content }: Attribute): Buffer {
  const payload = Buffer.isBuffer(content) ? content : Buffer.concat(content.map(written));
  const header = Buffer.alloc(4);
  header.writeUInt16LE(header.length + payload.length);
  header.writeUInt16LE(type, 2);
  return Buffer.concat([header, payload, Buffer.alloc(-payload.length & 3)]);
}

/** linux/netfilter/nf_tables.h: NFTA_RULE_EXPRESSIONS, in other messages flags or a key; NFTA_EXPR_NAME and NFTA_EXPR_DATA. */
const ruleExpressions = 4;
const [expressionName, expressionData] = [1, 2];

function listedExpression(expression: Attribute): Attribute {
  const parts = inside(expression);
  const name = parts.find(({ type }) => type === expressionName)?.content;
  const listed = lists[Buffer.isBuffer(name) ? cString.decode(name) : ''] ?? byNumber;
  const content = parts.map((part) =>
    part.type === expressionData ? { ...part, content: listed(inside(part)) } : part,
  );
  return { ...expression, content };
}

type Listed = (given: readonly Attribute[]) => readonly Attribute[];

const byNumber: Listed = (given) => given.toSorted((a, b) => a.type - b.type);
const inOrder =
  (...order: readonly number[]): Listed =>
  (given) =>
    order.flatMap((type) => given.filter((attribute) => attribute.type === type));

const number = (type: number, value: number): Attribute => ({ type, content: Buffer.of(0, 0, 0, value) });

/** By names of expressions: NFTA_BITWISE_*, NFTA_CT_*, NFTA_LOOKUP_*, NFTA_META_*, NFTA_NAT_*. */
const lists: Readonly<Record<string, Listed>> = {
  bitwise: inOrder(1, 2, 3, 6, 4, 5),
  ct: inOrder(1, 4, 2, 3),
  meta: inOrder(2, 1, 3),
  // Without the number of the set in its batch, and with the flags in any case.
  lookup: (given) => inOrder(1, 2, 3, 5)([...given, ...(given.some(({ type }) => type === 5) ? [] : [number(5, 0)])]),
  // The range's end is its begin, and there is an address (NF_NAT_RANGE_MAP_IPS).
  nat: (given) =>
    byNumber([...given, ...given.flatMap((one) => (one.type === 3 ? [{ ...one, type: 4 }] : [])), number(7, 1)]),
};
