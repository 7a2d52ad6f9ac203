import { type DataType, dataTypes, type NftSet } from '../../nftables/object.ts';
import { cString, u32 } from '../netlink/field.ts';

/**
 * nft's own notes in the kernel: type-length-value lists of libnftnl (libnftnl/udata.h). Type and length take a byte
 * each, and nothing is aligned. nft 1.0.6 hardly checks them when it reads them back, so we write exactly its own.
 */
interface Item {
  readonly type: number;
  readonly value: Buffer;
}

/** NFTNL_UDATA_RULE_COMMENT and NFTNL_UDATA_SET_ELEM_COMMENT */
const commentType = 0;
/** NFTNL_UDATA_COMMENT_MAXLEN, with the final NUL */
const longestComment = 128;

/** The userdata of a rule or element with a comment. Throws a RangeError for one of more than 127 bytes. */
export function encodeComment(comment: string): Buffer {
  const value = cString.encode(comment);
  if (value.length > longestComment)
    throw new RangeError(`A comment has at most ${longestComment - 1} bytes: ${comment}`);
  return encodeItems([{ type: commentType, value }]);
}

/** The comment in the userdata of a rule or element. */
export function decodeComment(userdata: Buffer): string | undefined {
  const item = decodeItems(userdata).find(({ type }) => type === commentType);
  return item && cString.decode(item.value);
}

/** NFTNL_UDATA_SET_ELEM_FLAGS with SET_ELEM_F_INTERVAL_OPEN: a range that ends with the last address there is. */
export const openInterval = (): Buffer => encodeItems([{ type: 1, value: u32.encode(1) }]);

/** nft's enum byteorder; a concatenation has none. */
const byteOrders = { none: 0, host: 1, big: 2 } as const;
/** NFTNL_UDATA_SET_* */
const setItems = { keyByteOrder: 0, dataByteOrder: 1, keyTypeof: 3, dataTypeof: 4, dataInterval: 6 } as const;
/** nft's EXPR_CONCAT: nft 1.0.6 notes that a key is a concatenation, and leaves the place for its parts empty. */
const concatenation = () =>
  encodeItems([
    { type: 0, value: u32.encode(13) },
    { type: 1, value: Buffer.alloc(0) },
  ]);

/** nft's EXPR_CT with NFT_CT_ID, and no direction: what `typeof ct id` leaves in the place of a type. */
const connectionId = () =>
  encodeItems([
    { type: 0, value: u32.encode(12) },
    {
      type: 1,
      value: encodeItems([
        { type: 0, value: u32.encode(23) },
        { type: 1, value: u32.encode(0xffffffff) },
      ]),
    },
  ]);
/** nft's EXPR_VERDICT, which a map has beside such a key. */
const verdictExpression = () =>
  encodeItems([
    { type: 0, value: u32.encode(1) },
    { type: 1, value: Buffer.alloc(0) },
  ]);

/** The userdata of a set: how nft is to print the bytes of its elements. */
export function encodeSetUserdata({ key, value }: NftSet): Buffer {
  const isConcatenation = key.length > 1;
  const number = (type: number, content: number): Item => ({ type, value: u32.encode(content) });
  return encodeItems([
    number(setItems.keyByteOrder, isConcatenation ? byteOrders.none : byteOrderOf(key[0])),
    ...(value === undefined ? [] : [number(setItems.dataByteOrder, byteOrderOf(value))]),
    ...(isConcatenation ? [{ type: setItems.keyTypeof, value: concatenation() }] : []),
    ...(key[0] === 'ct_id' ? [{ type: setItems.keyTypeof, value: connectionId() }] : []),
    ...(key[0] === 'ct_id' ? [{ type: setItems.dataTypeof, value: verdictExpression() }] : []),
    ...(value === undefined ? [] : [number(setItems.dataInterval, 0)]),
  ]);
}

const byteOrderOf = (type: DataType | 'verdict' | undefined): number =>
  byteOrders[type === undefined || type === 'verdict' ? 'none' : dataTypes[type].order];

function encodeItems(items: readonly Item[]): Buffer {
  return Buffer.concat(items.flatMap(({ type, value }) => [Buffer.of(type, value.length), value]));
}

/** The items of a list; one that is cut short ends it. */
function decodeItems(bytes: Buffer): readonly Item[] {
  const items: Item[] = [];
  for (let offset = 0; offset + 2 <= bytes.length; ) {
    const end = offset + 2 + bytes.readUInt8(offset + 1);
    if (end > bytes.length) break;
    items.push({ type: bytes.readUInt8(offset), value: bytes.subarray(offset + 2, end) });
    offset = end;
  }
  return items;
}
