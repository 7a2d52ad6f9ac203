import { type Address, addressBytes, addressFromBytes } from '../../base/address.ts';
import type { Hex } from '../../nftables/expression.ts';
import {
  attributeSize,
  decode,
  encode,
  encodedSize,
  type Table,
  type Values,
  walk,
  writeAll,
  writeAttribute,
} from './wire.ts';

/**
 * How the payload of one attribute is written and read. Integers are in host order, and Node runs on little-endian
 * machines only. Names with `be` are in network order, for nf_tables and ctnetlink.
 */
export interface Field<T> {
  encode(value: T): Buffer;
  decode(bytes: Buffer): T;
  /** Writes what `encode` gives into a buffer that is there already: a ruleset has thousands of attributes. */
  readonly inPlace?: InPlace<T>;
}

/** See {@link Field}. */
export interface InPlace<T> {
  /** Bytes of the payload. */
  size(value: T): number;
  /** Writes so many bytes into the buffer, which holds zeros. */
  write(value: T, bytes: Buffer, offset: number): void;
}

/** The payload in a buffer of its own. */
const alone =
  <T>({ size, write }: InPlace<T>) =>
  (value: T) => {
    const bytes = Buffer.alloc(size(value));
    write(value, bytes, 0);
    return bytes;
  };

/** A field that writes in place. */
const field = <T>(inPlace: InPlace<T>, decode: (bytes: Buffer) => T) => ({ inPlace, decode, encode: alone(inPlace) });

/**
 * An integer of one, two or four bytes. A value out of its range is a RangeError, and so is a payload that is too short. Written
 * byte by byte: in a call of a runtime nothing is optimized, and Buffer's methods for it are functions of four levels.
 */
function integer(
  length: 1 | 2 | 4,
  order: 'little' | 'big',
  read: 'readUInt8' | Reading,
  isSigned = false,
): Field<number> {
  const range = 2 ** (8 * length);
  const [lowest, highest] = isSigned ? [-range / 2, range / 2 - 1] : [0, range - 1];
  const write = (value: number, bytes: Buffer, offset: number) => {
    if (!(value >= lowest && value <= highest)) throw new RangeError(`${value} is none of ${lowest} to ${highest}`);
    for (let i = 0; i < length; i++) bytes[offset + (order === 'big' ? length - 1 - i : i)] = (value >> (8 * i)) & 0xff;
  };
  return field({ size: () => length, write }, (bytes) => bytes[read as 'readUInt8']());
}

type Reading = 'readUInt16LE' | 'readUInt16BE' | 'readUInt32LE' | 'readUInt32BE' | 'readInt32BE';

export const u8 = integer(1, 'little', 'readUInt8');
export const u16 = integer(2, 'little', 'readUInt16LE');
export const u32 = integer(4, 'little', 'readUInt32LE');
export const be16 = integer(2, 'big', 'readUInt16BE');
export const be32 = integer(4, 'big', 'readUInt32BE');
/** Signed, in network order: the priority of a base chain. */
export const be32Signed = integer(4, 'big', 'readInt32BE', true);

/** 64 bits in network order. */
export const be64: Field<bigint> = {
  encode: (value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return bytes;
  },
  decode: (bytes) => bytes.readBigUInt64BE(),
};

/** A string that ends with a NUL (NLA_NUL_STRING). Bytes behind the first NUL are not read. */
export const cString: Field<string> = field(
  { size: (value) => Buffer.byteLength(value) + 1, write: (value, bytes, offset) => void bytes.write(value, offset) },
  (bytes) => {
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
  },
);

/** Bytes as lower-case hexadecimal. */
export const hex: Field<Hex> = field(
  { size: (value) => value.length >> 1, write: (value, bytes, offset) => void bytes.write(value, offset, 'hex') },
  (bytes) => bytes.toString('hex'),
);

/** Bytes as they are. */
export const raw: Field<Buffer> = {
  encode: (bytes) => bytes,
  decode: (bytes) => bytes,
  inPlace: { size: (value) => value.length, write: (value, bytes, offset) => void value.copy(bytes, offset) },
};

/** An IPv4 or IPv6 address in network order. */
export const address: Field<Address> = {
  encode: (value) => Buffer.from(addressBytes(value)),
  decode: (bytes) => addressFromBytes(bytes),
};

/** An attribute without value: it is there or not (NLA_FLAG). */
export const flag: Field<true> = { encode: () => Buffer.alloc(0), decode: () => true };

/** Attributes inside an attribute, by a table of their own. */
export const nested = <T extends Table>(table: T): Field<Values<T>> & { readonly nested: true } => ({
  nested: true,
  encode: (values) => encode(table, values),
  decode: (bytes) => decode(table, bytes),
  inPlace: {
    size: (values) => encodedSize(table, values),
    write: (values, bytes, offset) => void writeAll(table, values, bytes, offset),
  },
});

/** A list: the same attribute again and again inside an attribute (NFTA_LIST_ELEM and its like). */
export const listOf = <T>(type: number, item: Field<T>): Field<readonly T[]> & { readonly nested: true } => ({
  nested: true,
  ...field<readonly T[]>(
    {
      size: (values) => values.reduce((size, value) => size + attributeSize(item, value), 0),
      write: (values, bytes, offset) => {
        let end = offset;
        for (const value of values) end = writeAttribute(type, item, value, bytes, end);
      },
    },
    (bytes) =>
      walk(bytes)
        .filter((attribute) => attribute.type === type)
        .map(({ payload }) => item.decode(payload)),
  ),
});
