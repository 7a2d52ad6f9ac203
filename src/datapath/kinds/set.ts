import { isEqual } from '../../base/canonical.ts';
import { mergeIntervals, printRange } from '../../nftables/interval.ts';
import type { NftSet } from '../../nftables/object.ts';
import { nameOfTable } from '../../nftables/script.ts';
import { isProgramChain } from '../layout.ts';
import { type Kind, noInterface } from './kind.ts';
import { keyIn } from './table.ts';

export const set: Kind<NftSet> = {
  key: (object) => keyIn(object, 'set', object.name),
  text: textOf,
  describe: (desired, observed) =>
    sameType(desired, observed) ? [`${textOf(desired)} is not as expected`] : [describeType(desired, observed)],
  needsUp: noInterface,
  hasMark: true, // some have it in their keys
  isSame: isSameSet,
};

function textOf({ name, value }: NftSet): string {
  return `${value === undefined ? 'set' : 'map'} ${name}`;
}

/**
 * Ranges are compared as the kernel keeps them: merged. Unread intervals count as right: the set's name is made from
 * its content.
 */
function isSameSet(desired: NftSet, observed: NftSet): boolean {
  if (!sameType(desired, observed)) return false;
  const { intervals = [] } = desired;
  const { intervals: read } = observed;
  return read === undefined || isEqual(mergeIntervals(intervals).map(printRange), read);
}

/** Whether two sets differ in their content at most. Nothing else can be changed while rules look into them. */
export function sameType({ intervals, ...desired }: NftSet, { intervals: read, ...observed }: NftSet): boolean {
  // Of programs' sets the ranges may not have been read.
  const sameRanges = (intervals === undefined) === (read === undefined) || isProgramChain(desired.name);
  return sameRanges && isEqual(desired, observed);
}

/** The type of a set with one of our names, and the expected type. */
export const describeType = (desired: NftSet, observed: NftSet): string =>
  `${textOf(desired)} of table ${nameOfTable(desired)} is a ${typeText(observed)}, expected a ${typeText(desired)}`;

function typeText({ key, value, counter, intervals }: NftSet): string {
  const kind = value === undefined ? 'set' : 'map';
  const types = key.length === 0 ? 'a type that we never use' : `type ${key.join(' . ')}${value ? ` : ${value}` : ''}`;
  const flags = [...(counter ? ['counters'] : []), ...(intervals ? ['ranges'] : [])];
  return [`${kind} of ${types}`, ...flags].join(' with ');
}
