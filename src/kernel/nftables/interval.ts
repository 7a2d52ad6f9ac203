import type { Hex } from '../../nftables/expression.ts';
import { mergeIntervals, mergeRanges, type Range, rangeTypeOf, sizeOf } from '../../nftables/interval.ts';
import { dataTypes } from '../../nftables/object.ts';
import { decode, encode } from '../netlink/wire.ts';
import { elementAttributes } from './attributes.ts';
import { openInterval } from './userdata.ts';

/** NFT_SET_ELEM_INTERVAL_END */
const intervalEnd = 1;

/** A limit between addresses, or ports, that are in the set and such as are not. */
interface Limit {
  readonly key: Hex;
  readonly isEnd: boolean;
}

/**
 * The elements of an interval set as nft writes them: for each range its first address or port, and as an end
 * the first behind it, unless there is none. A set that does not begin with the number 0 begins with an end there.
 */
export function encodeIntervals(intervals: readonly string[]): readonly Buffer[] {
  const ranges = mergeIntervals(intervals);
  const [lowest] = ranges;
  const leading = lowest === undefined || lowest.first === 0n ? [] : [encodeEnd({ ...lowest, last: -1n })];
  return [...leading, ...ranges.flatMap(encodeRange)];
}

function encodeRange(range: Range): readonly Buffer[] {
  const key = keyOf(range, range.first);
  const isOpen = range.last + 1n === sizeOf(range.type);
  return isOpen
    ? [encode(elementAttributes, { key, userdata: openInterval() })]
    : [encode(elementAttributes, { key }), encodeEnd(range)];
}

const encodeEnd = (range: Range): Buffer =>
  encode(elementAttributes, { flags: intervalEnd, key: keyOf(range, range.last + 1n) });

const keyOf = ({ type }: Range, number: bigint): Hex => number.toString(16).padStart(2 * dataTypes[type].length, '0');

/** The ranges of an interval set, from its elements in any order. A start that no limit follows is open to the end. */
export function decodeIntervals(elements: readonly Buffer[]): readonly Range[] {
  const limits = elements.map(decodeLimit).sort(byKey);
  return mergeRanges(limits.flatMap((limit, i) => (limit.isEnd ? [] : [rangeBetween(limit, limits[i + 1])])));
}

function decodeLimit(element: Buffer): Limit {
  const { key = '', flags = 0 } = decode(elementAttributes, element);
  return { key, isEnd: (flags & intervalEnd) !== 0 };
}

/** Where one range ends and the next begins, the end is first. */
function byKey(a: Limit, b: Limit): number {
  if (a.key === b.key) return Number(b.isEnd) - Number(a.isEnd);
  return a.key < b.key ? -1 : 1;
}

function rangeBetween(start: Limit, next: Limit | undefined): Range {
  const type = rangeTypeOf(start.key.length / 2);
  const behind = next === undefined ? sizeOf(type) : BigInt(`0x${next.key}`);
  return { type, first: BigInt(`0x${start.key}`), last: behind - 1n };
}
