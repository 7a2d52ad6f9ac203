import { type DataType, dataTypes, type InTable, type NftSet } from '../../nftables/object.ts';
import type { Values } from '../netlink/wire.ts';
import { type setAttributes, setFlags } from './attributes.ts';
import { encodeExpression, type SetId } from './expression.ts';
import { ourTable } from './message.ts';
import { encodeSetUserdata } from './userdata.ts';

/** NFT_DATA_VERDICT */
const verdictType = 0xffffff00;
/** nft's TYPE_BITS: a concatenation has the numbers of its parts in one number, the first part in the highest bits. */
const bitsOfType = 6;

/** A set as the kernel takes it. */
export function encodeSet(set: NftSet, setId: SetId): Values<typeof setAttributes> {
  const { name, key, value, counter, intervals } = set;
  return {
    ...ourTable,
    name,
    flags: (intervals ? setFlags.interval : 0) | (value ? setFlags.map : 0),
    keyType: key.reduce((number, type) => (number << bitsOfType) | dataTypes[type].number, 0),
    keyLength: keyLengthOf(key),
    ...(value && encodeValueType(value)),
    id: setId(name),
    userdata: encodeSetUserdata(set),
    expression: counter && encodeExpression({ name: 'counter' }, setId),
  };
}

/** Bytes of an element's key. The parts of a concatenation lie in registers of 4 bytes. */
export function keyLengthOf(key: readonly DataType[]): number {
  const lengths = key.map((type) => dataTypes[type].length);
  const inRegisters = lengths.map((length) => (length + 3) & ~3);
  return (lengths.length > 1 ? inRegisters : lengths).reduce((sum, length) => sum + length, 0);
}

const encodeValueType = (value: DataType | 'verdict') =>
  value === 'verdict'
    ? { dataType: verdictType, dataLength: 0 }
    : { dataType: dataTypes[value].number, dataLength: dataTypes[value].length };

/**
 * A set as the kernel lists it, without its content: an interval set has empty `intervals`. A set that we would not
 * have written has an empty key. No set of ours has one.
 */
export function decodeSet(
  { name = '', flags = 0, keyType = 0, dataType, expression }: Values<typeof setAttributes>,
  { family }: InTable = {},
): NftSet {
  const isMap = (flags & setFlags.map) !== 0;
  const value = dataType === verdictType ? 'verdict' : typeOf(dataType);
  const isOurs = (flags & ~(setFlags.map | setFlags.interval)) === 0 && isMap === (value !== undefined);
  return {
    kind: 'set',
    ...(family && { family }),
    name,
    key: isOurs && (expression?.name ?? 'counter') === 'counter' ? decodeKey(keyType) : [],
    ...(isMap && value && { value }),
    ...(expression?.name === 'counter' && { counter: true }),
    ...((flags & setFlags.interval) !== 0 && { intervals: [] }),
  };
}

/** The parts of a key, or none when one is of a type that is not ours. */
function decodeKey(number: number): readonly DataType[] {
  const parts: (DataType | undefined)[] = [];
  for (let rest = number; rest !== 0; rest >>>= bitsOfType) parts.unshift(typeOf(rest & ((1 << bitsOfType) - 1)));
  return parts.every((part) => part !== undefined) ? parts : [];
}

const typeOf = (number: number | undefined): DataType | undefined =>
  (Object.keys(dataTypes) as DataType[]).find((name) => dataTypes[name].number === number);
