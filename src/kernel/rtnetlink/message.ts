import type { Field } from '../netlink/field.ts';
import { decode, encode, type Table, type Values } from '../netlink/wire.ts';

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
  const length = encodeStruct(struct, {}).length;
  return {
    encode: (header, attributes = {}) => encode(table, attributes, encodeStruct(struct, header)),
    decode: (body) => ({ header: decodeStruct(struct, body), attributes: decode(table, body.subarray(length)) }),
  };
}

function encodeStruct(struct: Struct, values: Readonly<Record<string, number | undefined>>): Buffer {
  return Buffer.concat(Object.entries(struct).map(([name, field]) => field.encode(values[name] ?? 0)));
}

function decodeStruct<S extends Struct>(struct: S, bytes: Buffer): Header<S> {
  let offset = 0;
  const members = Object.entries(struct).map(([name, field]) => {
    const member = bytes.subarray(offset);
    offset += field.encode(0).length;
    return [name, field.decode(member)];
  });
  return Object.fromEntries(members);
}
