import type { Field } from '../netlink/field.ts';
import { decode, decodePart, encodedSize, type Table, type Values, writeAll } from '../netlink/wire.ts';

/** The members of a C struct of integers, in their order and without holes: padding is a member too. */
export type Struct = Readonly<Record<string, Field<number>>>;

type Header<S extends Struct> = { readonly [K in keyof S]: number };

/** The bytes behind the netlink header: a struct of fixed length, then attributes. Members that are not given are 0. */
export interface Message<S extends Struct, T extends Table> {
  encode(header: Partial<Header<S>>, attributes?: Values<T>): Buffer;
  decode(body: Buffer): { readonly header: Header<S>; readonly attributes: Values<T> };
}

/** A kind of message from the two tables that describe it. */
export function message<S extends Struct, T extends Table>(struct: S, table: T): Message<S, T> {
  const members = membersOf(struct);
  const length = members.at(-1)?.end ?? 0;
  return {
    encode: (header, attributes = {}) => {
      const bytes = Buffer.alloc(length + encodedSize(table, attributes));
      encodeStruct(members, header, bytes);
      writeAll(table, attributes, bytes, length);
      return bytes;
    },
    decode: (body) => {
      if (body.length < length) throw new RangeError(`A message has ${body.length} bytes, expected ${length} at least`);
      return { header: decodeStruct(members, body) as Header<S>, attributes: decode(table, body, length) };
    },
  };
}

/** Into a buffer of zeros. */
function encodeStruct(
  members: readonly Member[],
  values: Readonly<Record<string, number | undefined>>,
  bytes: Buffer,
): void {
  for (const { name, field, start } of members) {
    const value = values[name] ?? 0;
    if (value === 0) continue;
    if (field.inPlace) field.inPlace.write(value, bytes, start);
    else field.encode(value).copy(bytes, start);
  }
}

/** A member, and where it lies. */
interface Member {
  readonly name: string;
  readonly field: Field<number>;
  readonly start: number;
  readonly end: number;
}

function membersOf(struct: Struct): readonly Member[] {
  let end = 0;
  return Object.entries(struct).map(([name, field]) => {
    const start = end;
    end += field.encode(0).length;
    return { name, field, start, end };
  });
}

function decodeStruct(members: readonly Member[], bytes: Buffer): Record<string, number> {
  const header: Record<string, number> = {};
  for (const { name, field, start, end } of members) header[name] = decodePart(field, bytes, start, end);
  return header;
}
