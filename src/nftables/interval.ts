import {
  type Address,
  addressBytes,
  addressFromBytes,
  type Family,
  familyOf,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../base/address.ts';

/** All addresses from `first` to `last`, both included, as unsigned numbers. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** How many bits an address has: 32 or 128. */
export const addressBits = (family: Family): number => (family === 4 ? 32 : 128);

/** The addresses of prefixes as ranges: sorted, IPv4 first, with overlapping and adjacent ones made one. */
export const mergePrefixes = (prefixes: readonly Prefix[]): readonly Range[] =>
  mergeRanges(prefixes.map(rangeOfPrefix));

/** Ranges with the same addresses: sorted, IPv4 first, with overlapping and adjacent ones made one. */
export function mergeRanges(ranges: readonly Range[]): readonly Range[] {
  const merged: Range[] = [];
  for (const range of ranges.toSorted(byFirstAddress)) {
    const before = merged.at(-1);
    if (before === undefined || before.family !== range.family || before.last + 1n < range.first) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { ...before, last: range.last };
  }
  return merged;
}

/** A range as nft prints it: `10.0.0.7`, `10.0.0.0/16`, or `10.0.0.0-10.1.0.255` when it is no prefix. */
export function printRange(range: Range): string {
  const first = addressOf(range.family, range.first);
  const size = range.last - range.first + 1n;
  if (size === 1n) return first;
  const isPrefix = (size & (size - 1n)) === 0n && range.first % size === 0n;
  if (!isPrefix) return `${first}-${addressOf(range.family, range.last)}`;
  const hostBits = size.toString(2).length - 1;
  return `${first}/${addressBits(range.family) - hostBits}`;
}

function byFirstAddress(a: Range, b: Range): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.first < b.first ? -1 : Number(a.first > b.first);
}

function rangeOfPrefix(prefix: Prefix): Range {
  const family = familyOf(prefix);
  const first = numberOf(prefixAddress(prefix));
  const size = 1n << BigInt(addressBits(family) - prefixLength(prefix));
  return { family, first, last: first + size - 1n };
}

const numberOf = (address: Address): bigint =>
  addressBytes(address).reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);

function addressOf(family: Family, number: bigint): Address {
  const length = addressBits(family) / 8;
  return addressFromBytes(
    Uint8Array.from({ length }, (_, i) => Number((number >> BigInt(8 * (length - 1 - i))) & 0xffn)),
  );
}
