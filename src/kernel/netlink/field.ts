import { type Address, addressBytes, addressFromBytes } from '../../base/address.ts';
import type { Hex } from '../../nftables/expression.ts';
import {
  attributeSize,
  decode,
  decodePart,
  eachAttribute,
  encode,
  encodedSize,
  type Table,
  type Values,
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
  /** Reads what `decode` gives out of a message, between two offsets, without a buffer of its own. */
  readonly decodeIn?: (bytes: Buffer, start: number, end: number) => T;
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

/** A field that writes in place, and reads there. */
const field = <T>(inPlace: InPlace<T>, decodeIn: (bytes: Buffer, start: number, end: number) => T) => ({
  inPlace,
  decodeIn,
  encode: alone(inPlace),
  decode: (bytes: Buffer) => decodeIn(bytes, 0, bytes.length),
});

/**
 * An integer of one, two or four bytes. A value out of its range is a RangeError, and so is a payload that is too short. Written and read
 * byte by byte: in a call of a runtime nothing is optimized, and Buffer's methods for it are functions of four levels.
 */
function integer(length: 1 | 2 | 4, order: 'little' | 'big', isSigned = false) {
  const range = 2 ** (8 * length);
  const [lowest, highest] = isSigned ? [-range / 2, range / 2 - 1] : [0, range - 1];
  const write = (value: number, bytes: Buffer, offset: number) => {
    if (!(value >= lowest && value <= highest)) throw new RangeError(`${value} is none of ${lowest} to ${highest}`);
    for (let i = 0; i < length; i++) bytes[offset + (order === 'big' ? length - 1 - i : i)] = (value >> (8 * i)) & 0xff;
  };
  return field({ size: () => length, write }, (bytes: Buffer, start: number, end: number) => {
    if (end - start < length) throw new RangeError(`A number of ${length} bytes has ${end - start}`);
    let value = 0;
    for (let i = 0; i < length; i++)
      value = value * 256 + (bytes[start + (order === 'big' ? i : length - 1 - i)] as number);
    return value > highest ? value - range : value;
  });
}

export const u8 = integer(1, 'little');
export const u16 = integer(2, 'little');
export const u32 = integer(4, 'little');
export const be16 = integer(2, 'big');
export const be32 = integer(4, 'big');
/** Signed, in network order: the priority of a base chain. */
export const be32Signed = integer(4, 'big', true);

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
  (bytes, start, end) => {
    const zero = bytes.indexOf(0, start);
    return bytes.toString('utf8', start, zero === -1 || zero > end ? end : zero);
  },
);

/** Bytes as lower-case hexadecimal. */
export const hex: Field<Hex> = field(
  { size: (value) => value.length >> 1, write: (value, bytes, offset) => void bytes.write(value, offset, 'hex') },
  (bytes, start, end) => bytes.toString('hex', start, end),
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
  decodeIn: (bytes, start, end) => decode(table, bytes, start, end),
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
    (bytes, start, end) => {
      const values: T[] = [];
      eachAttribute(bytes, start, end, (found, from, to) => {
        if (found === type) values.push(decodePart(item, bytes, from, to));
      });
      return values;
    },
  ),
});
