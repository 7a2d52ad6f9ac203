import type { Field } from './field.ts';

/**
 * The attributes of one kind of kernel object: a row for each, `name: [number, field]`. From it come the encoding, the
 * decoding and the TypeScript type ({@link Values}), so that the three cannot disagree. Attributes are written in the
 * order of the table.
 */
// biome-ignore lint/suspicious/noExplicitAny: each row has a type of its own, Values takes it out again
export type Table = Readonly<Record<string, readonly [number, Field<any>]>>;

/** The values of a {@link Table}: each attribute may be absent. */
export type Values<T extends Table> = {
  readonly [K in keyof T]?: (T[K][1] extends Field<infer V> ? V : never) | undefined;
};

/** One attribute as it lies in a message (linux/netlink.h, struct nlattr). */
export interface Attribute {
  readonly type: number;
  readonly payload: Buffer;
}

const headerLength = 4;
/** NLA_F_NESTED: the payload is attributes again. nf_tables wants the bit, rtnetlink takes it. */
const nestedFlag = 0x8000;
/** Without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const typeMask = 0x3fff;
const aligned = (length: number) => (length + 3) & ~3;

const payloadSize = <T>({ inPlace, encode }: Field<T>, value: T): number =>
  inPlace === undefined ? encode(value).length : inPlace.size(value);

/** Bytes of one attribute with its header and padding. */
export const attributeSize = <T>(field: Field<T>, value: T): number =>
  aligned(headerLength + payloadSize(field, value));

/**
 * Writes one attribute with its header into a buffer of zeros, and returns where the next begins. A payload of more than 65531
 * bytes is a RangeError.
 */
export function writeAttribute<T>(type: number, field: Field<T>, value: T, bytes: Buffer, offset: number): number {
  const length = headerLength + payloadSize(field, value);
  if (length > 0xffff) throw new RangeError(`An attribute has ${length} bytes`);
  const flagged = 'nested' in field ? type | nestedFlag : type;
  bytes[offset] = length & 0xff;
  bytes[offset + 1] = length >> 8;
  bytes[offset + 2] = flagged & 0xff;
  bytes[offset + 3] = flagged >> 8;
  if (field.inPlace === undefined) field.encode(value).copy(bytes, offset + headerLength);
  else field.inPlace.write(value, bytes, offset + headerLength);
  return offset + aligned(length);
}

/** One attribute with its header and padding, in a buffer of its own. */
export function encodeAttribute<T>(type: number, field: Field<T>, value: T): Buffer {
  const bytes = Buffer.alloc(attributeSize(field, value));
  writeAttribute(type, field, value, bytes, 0);
  return bytes;
}

/** Bytes of the attributes that `values` has. */
export function encodedSize<T extends Table>(table: T, values: Values<T>): number {
  let size = 0;
  for (const name in table) {
    const row = table[name];
    if (row !== undefined && values[name] !== undefined) size += attributeSize(row[1], values[name]);
  }
  return size;
}

/** Writes the attributes that `values` has, in the order of the table, into a buffer of zeros. */
export function writeAll<T extends Table>(table: T, values: Values<T>, bytes: Buffer, offset: number): void {
  let end = offset;
  for (const name in table) {
    const row = table[name];
    if (row !== undefined && values[name] !== undefined) end = writeAttribute(row[0], row[1], values[name], bytes, end);
  }
}

/** The attributes that `values` has, in the order of the table, behind a header if there is one. */
export function encode<T extends Table>(table: T, values: Values<T>, header?: Buffer): Buffer {
  const start = header?.length ?? 0;
  const bytes = Buffer.alloc(start + encodedSize(table, values));
  header?.copy(bytes);
  writeAll(table, values, bytes, start);
  return bytes;
}

/** What a field reads between two offsets. */
export const decodePart = <T>({ decodeIn, decode }: Field<T>, bytes: Buffer, start: number, end: number): T =>
  decodeIn === undefined ? decode(bytes.subarray(start, end)) : decodeIn(bytes, start, end);

/**
 * Calls with the type and the place of each attribute between two offsets. One that claims more than there is, or less than
 * its header, is a RangeError.
 */
export function eachAttribute(
  bytes: Buffer,
  start: number,
  end: number,
  found: (type: number, start: number, end: number) => void,
): void {
  for (let offset = start; offset + headerLength <= end; ) {
    const length = lengthAt(bytes, offset, end);
    found(numberAt(bytes, offset + 2) & typeMask, offset + headerLength, offset + length);
    offset += aligned(length);
  }
}

/** With its header. */
function lengthAt(bytes: Buffer, offset: number, end: number): number {
  const length = numberAt(bytes, offset);
  if (length >= headerLength && offset + length <= end) return length;
  const type = numberAt(bytes, offset + 2) & typeMask;
  throw new RangeError(`Attribute ${type} claims ${length} bytes of ${end - offset} that are left`);
}

/** 16 bits in the order of the host: Buffer's method for it is slow where nothing is optimized. */
const numberAt = (bytes: Buffer, offset: number): number =>
  (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);

/** The attributes of `bytes`, one by one. Throws as {@link eachAttribute}. */
export function walk(bytes: Buffer): readonly Attribute[] {
  const attributes: Attribute[] = [];
  eachAttribute(bytes, 0, bytes.length, (type, start, end) => {
    attributes.push({ type, payload: bytes.subarray(start, end) });
  });
  return attributes;
}

/**
 * The attributes that the table knows, of all bytes or of those between two offsets. Attributes of newer kernels are passed
 * over, and nothing is made of them: an interface has fifty.
 */
export function decode<T extends Table>(table: T, bytes: Buffer, start = 0, end = bytes.length): Values<T> {
  const rows = rowsByType(table);
  const values: Record<string, unknown> = {};
  // eachAttribute without a function of its own for each message: there are hundreds.
  for (let offset = start; offset + headerLength <= end; ) {
    const length = lengthAt(bytes, offset, end);
    const row = rows.get(numberAt(bytes, offset + 2) & typeMask);
    if (row !== undefined) values[row.name] = decodePart(row.field, bytes, offset + headerLength, offset + length);
    offset += aligned(length);
  }
  return values as Values<T>;
}

const indexes = new WeakMap<Table, Map<number, { name: string; field: Field<unknown> }>>();

function rowsByType(table: Table) {
  let rows = indexes.get(table);
  if (rows === undefined) {
    rows = new Map(Object.entries(table).map(([name, [type, field]]) => [type, { name, field }]));
    indexes.set(table, rows);
  }
  return rows;
}
