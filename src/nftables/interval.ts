import {
  type Address,
  addressBytes,
  addressFromBytes,
  familyOf,
  prefixAddress,
  prefixLength,
} from '../base/address.ts';
import { dataTypes } from './object.ts';

/** The types that ranges can be of, in our sorting order. */
const rangeTypes = ['ipv4_addr', 'ipv6_addr', 'inet_service'] as const;

/** All addresses or ports from `first` to `last`, both included, as unsigned numbers. */
export interface Range {
  readonly type: (typeof rangeTypes)[number];
  readonly first: bigint;
  readonly last: bigint;
}

/** How many numbers there are of a type: one more than the last. */
export const sizeOf = (type: Range['type']): bigint => 1n << BigInt(8 * dataTypes[type].length);

/** The type of the numbers that have so many bytes. */
export const rangeTypeOf = (length: number): Range['type'] =>
  rangeTypes.find((type) => dataTypes[type].length === length) ?? 'ipv4_addr';

/**
 * Canonical prefixes, ports (`80`) and ranges of ports (`5060-5061`) as ranges: sorted, IPv4 first, with overlapping
 * and adjacent ones made one.
 */
export const mergeIntervals = (intervals: readonly string[]): readonly Range[] => mergeRanges(intervals.map(rangeOf));

/** Ranges that hold the same: sorted, IPv4 first, with overlapping and adjacent ones made one. */
export function mergeRanges(ranges: readonly Range[]): readonly Range[] {
  const merged: Range[] = [];
  for (const range of ranges.toSorted(byFirst)) {
    const before = merged.at(-1);
    if (before === undefined || before.type !== range.type || before.last + 1n < range.first) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { ...before, last: range.last };
  }
  return merged;
}

/**
 * A range as nft prints it: `10.0.0.7`, `10.0.0.0/16`, or `10.0.0.0-10.1.0.255` when it is no prefix; ports as `80` or
 * `5060-5061`.
 */
export function printRange({ type, first, last }: Range): string {
  const size = last - first + 1n;
  if (size === 1n) return printNumber(type, first);
  const isPrefix = type !== 'inet_service' && (size & (size - 1n)) === 0n && first % size === 0n;
  if (!isPrefix) return `${printNumber(type, first)}-${printNumber(type, last)}`;
  const hostBits = size.toString(2).length - 1;
  return `${printNumber(type, first)}/${8 * dataTypes[type].length - hostBits}`;
}

function byFirst(a: Range, b: Range): number {
  if (a.type !== b.type) return rangeTypes.indexOf(a.type) - rangeTypes.indexOf(b.type);
  return a.first < b.first ? -1 : Number(a.first > b.first);
}

const rangeOf = (interval: string): Range =>
  interval.includes('/') ? rangeOfPrefix(interval) : rangeOfPorts(interval);

function rangeOfPrefix(prefix: string): Range {
  const type = familyOf(prefix) === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const first = numberOf(prefixAddress(prefix));
  const size = sizeOf(type) >> BigInt(prefixLength(prefix));
  return { type, first, last: first + size - 1n };
}

function rangeOfPorts(ports: string): Range {
  const [first = '', last = first] = ports.split('-');
  return { type: 'inet_service', first: BigInt(first), last: BigInt(last) };
}

const numberOf = (address: Address): bigint =>
  addressBytes(address).reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);

function printNumber(type: Range['type'], number: bigint): string {
  if (type === 'inet_service') return String(number);
  const digits = number.toString(16).padStart(2 * dataTypes[type].length, '0');
  return addressFromBytes(Buffer.from(digits, 'hex'));
}
