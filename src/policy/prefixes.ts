import {
  addressBytes,
  addressFromBytes,
  families,
  familyOf,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../base/address.ts';
import { isEqual } from '../base/canonical.ts';

/**
 * The same addresses as a set for nftables wants them: IPv4 before IPv6, ascending, no prefix twice or inside another.
 */
export function withoutNested(prefixes: readonly Prefix[]): Prefix[] {
  const sorted = prefixes.map(toBits).sort((a, b) => (a.sortKey < b.sortKey ? -1 : a.sortKey > b.sortKey ? 1 : 0));
  const kept: Sorted[] = [];
  for (const candidate of sorted) {
    const last = kept.at(-1);
    // An outer prefix sorts before all that it holds, so looking at the last one is enough.
    if (!last || last.family !== candidate.family || !candidate.bits.startsWith(last.bits)) kept.push(candidate);
  }
  return kept.map(({ prefix }) => prefix);
}

interface Sorted {
  readonly prefix: Prefix;
  readonly family: number;
  /** The bits of the prefix as text: `0001` is 16.0.0.0/4. */
  readonly bits: string;
  readonly sortKey: Bits;
}

/** The bits of a prefix as text behind its family: `40001` is 16.0.0.0/4. A text that begins another one holds it. */
export type Bits = string;

export const bitsOf = (prefixes: readonly Prefix[]): Bits[] => prefixes.map((prefix) => toBits(prefix).sortKey);

/** The length of the prefix. */
export const bitsLength = (bits: Bits): number => bits.length - 1;

/** {@link coverAll} for prefixes whose bits are known: making them takes longer than comparing them. */
export function bitsCover(ranges: readonly Bits[], prefixes: readonly Bits[]): boolean {
  return families.every((family) => remainder(`${family}`, prefixes, ranges).next().value === undefined);
}

/** Whether ranges hold every address of a prefix between them. */
export const cover = (ranges: readonly Prefix[], prefix: Prefix): boolean => coverAll(ranges, [prefix]);

/** Whether ranges hold every address of all prefixes between them. */
export const coverAll = (ranges: readonly Prefix[], prefixes: readonly Prefix[]): boolean =>
  firstWithout(prefixes, ranges) === undefined;

/** The first of {@link without}, before the others are known. */
export function firstWithout(prefixes: readonly Prefix[], ranges: readonly Prefix[]): Prefix | undefined {
  const { value } = left(prefixes, ranges).next();
  return value === undefined ? undefined : fromSortKey(value);
}

/** The prefixes without the ranges: none inside another, sorted as by {@link withoutNested}. */
export const without = (prefixes: readonly Prefix[], ranges: readonly Prefix[]): Prefix[] =>
  Array.from(left(prefixes, ranges), fromSortKey);

/** What prefixes have in common with ranges; none of either inside another of its list. Sorted as by {@link withoutNested}. */
export function intersection(prefixes: readonly Prefix[], ranges: readonly Prefix[]): readonly Prefix[] {
  return isEqual(prefixes, ranges) ? prefixes : without(prefixes, without(prefixes, ranges));
}

function* left(prefixes: readonly Prefix[], ranges: readonly Prefix[]): Generator<string, undefined> {
  const [texts, taken] = [bitsOf(prefixes), bitsOf(ranges)];
  for (const family of families) yield* remainder(`${family}`, texts, taken);
}

/**
 * The same for texts of bits, as far as they begin with `bits`: a text that begins another holds it. A partly taken
 * prefix is halved. So each text is looked at once for each of its bits, whatever their number.
 */
function* remainder(bits: string, texts: readonly string[], taken: readonly string[]): Generator<string, undefined> {
  const within = (all: readonly string[]) => all.filter((text) => text.startsWith(bits));
  const [inside, outside] = [within(texts), within(taken)];
  if (inside.length === 0 || outside.includes(bits)) return;
  if (outside.length === 0) return yield* inside;
  const parts = inside.includes(bits) ? [`${bits}0`, `${bits}1`] : inside;
  yield* remainder(`${bits}0`, parts, outside);
  yield* remainder(`${bits}1`, parts, outside);
}

function fromSortKey(sortKey: string): Prefix {
  const [length, size] = [sortKey.length - 1, sortKey.startsWith('4') ? 4 : 16];
  const bits = sortKey.slice(1).padEnd(8 * size, '0');
  const bytes = Uint8Array.from({ length: size }, (_, i) => Number.parseInt(bits.slice(8 * i, 8 * i + 8), 2));
  return `${addressFromBytes(bytes)}/${length}`;
}

/** Made once: a policy may have ten thousand ranges. */
const bitsOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(2).padStart(8, '0'));

function toBits(prefix: Prefix): Sorted {
  const family = familyOf(prefix);
  const allBits = addressBytes(prefixAddress(prefix)).reduce((bits, byte) => bits + bitsOfByte[byte], '');
  const bits = allBits.slice(0, prefixLength(prefix));
  return { prefix, family, bits, sortKey: `${family}${bits}` };
}
