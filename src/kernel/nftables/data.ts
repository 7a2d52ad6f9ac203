import type { Hex, Verdict } from '../../nftables/expression.ts';
import { be32, be32Signed, cString, type Field, hex, raw } from '../netlink/field.ts';
import { decode, decodePart, encode, encodedSize, type Table, type Values, writeAll } from '../netlink/wire.ts';

/** A field that holds attributes. */
export type Nested<T> = Field<T> & { readonly nested: true };

/** Attributes as bytes, when something outside of them decides their meaning. */
export const rawNested: Nested<Buffer> = { ...raw, nested: true };

/**
 * A number that has a name with us. Any other number reads as absent, and an object without an attribute is not taken
 * for one of ours.
 */
export function choice<const K>(
  rows: readonly (readonly [K, number])[],
  field: Field<number> = be32,
): Field<K | undefined> {
  const numbers = new Map<K | undefined, number>(rows);
  const names = new Map(rows.map(([name, number]) => [number, name]));
  const numberOf = (name: K | undefined) => numbers.get(name) as number;
  const { inPlace } = field;
  return {
    encode: (name) => field.encode(numberOf(name)),
    decode: (bytes) => names.get(field.decode(bytes)),
    decodeIn: (bytes, start, end) => names.get(decodePart(field, bytes, start, end)),
    ...(inPlace && {
      inPlace: {
        size: (name) => inPlace.size(numberOf(name)),
        write: (name, bytes, offset) => inPlace.write(numberOf(name), bytes, offset),
      },
    }),
  };
}

/** NFTA_VERDICT_* */
const verdictAttributes = {
  code: [
    1,
    choice(
      [
        ['drop', 0],
        ['accept', 1],
        ['jump', -3],
        ['goto', -4],
        ['return', -5],
      ],
      be32Signed,
    ),
  ],
  chain: [2, cString],
} as const satisfies Table;

function verdictIn(bytes: Buffer, start: number, end: number): Verdict | undefined {
  const { code, chain } = decode(verdictAttributes, bytes, start, end);
  if (code === 'jump' || code === 'goto') return chain === undefined ? undefined : { code, chain };
  return code && { code };
}

const partsOf = (verdict: Verdict | undefined): Values<typeof verdictAttributes> => verdict ?? {};

/** A verdict; `continue`, `break` and future ones read as absent. */
const verdict: Nested<Verdict | undefined> = {
  nested: true,
  encode: (value) => encode(verdictAttributes, partsOf(value)),
  inPlace: {
    size: (value) => encodedSize(verdictAttributes, partsOf(value)),
    write: (value, bytes, offset) => writeAll(verdictAttributes, partsOf(value), bytes, offset),
  },
  decode: (bytes) => verdictIn(bytes, 0, bytes.length),
  decodeIn: verdictIn,
};

/** NFTA_DATA_*: bytes, or a verdict. */
export const dataAttributes = { value: [1, hex], verdict: [2, verdict] } as const satisfies Table;

/** Bytes in NFTA_DATA_VALUE. */
export const data: Nested<Hex | undefined> = {
  nested: true,
  encode: (value) => encode(dataAttributes, { value }),
  decode: (bytes) => decode(dataAttributes, bytes).value,
  decodeIn: (bytes, start, end) => decode(dataAttributes, bytes, start, end).value,
};
