import { addressBytes, familyOf, type Prefix, prefixAddress, prefixLength } from '../base/address.ts';

/**
 * The same addresses as a set for nftables wants them: IPv4 before IPv6, ascending, no prefix twice or inside another.
 */
export function withoutNested(prefixes: readonly Prefix[]): Prefix[] {
  const sorted = prefixes.map(toBits).sort((a, b) => (a.sortKey < b.sortKey ? -1 : a.sortKey > b.sortKey ? 1 : 0));
  const kept: Bits[] = [];
  for (const candidate of sorted) {
    const last = kept.at(-1);
    // An outer prefix sorts before all that it holds, so looking at the last one is enough.
    if (!last || last.family !== candidate.family || !candidate.bits.startsWith(last.bits)) kept.push(candidate);
  }
  return kept.map(({ prefix }) => prefix);
}

interface Bits {
  readonly prefix: Prefix;
  readonly family: number;
  /** The bits of the prefix as text: `0001` is 16.0.0.0/4. */
  readonly bits: string;
  readonly sortKey: string;
}

/** Whether ranges hold every address of a prefix between them. */
export function cover(ranges: readonly Prefix[], prefix: Prefix): boolean {
  return isCovered(
    toBits(prefix).sortKey,
    ranges.map((range) => toBits(range).sortKey),
  );
}

/** The same for texts of bits: one that begins another holds it. */
function isCovered(bits: string, ranges: readonly string[]): boolean {
  if (ranges.some((range) => bits.startsWith(range))) return true;
  const inside = ranges.filter((range) => range.startsWith(bits));
  return inside.length > 0 && isCovered(`${bits}0`, inside) && isCovered(`${bits}1`, inside);
}

function toBits(prefix: Prefix): Bits {
  const family = familyOf(prefix);
  const allBits = Array.from(addressBytes(prefixAddress(prefix)), (byte) => byte.toString(2).padStart(8, '0')).join('');
  const bits = allBits.slice(0, prefixLength(prefix));
  return { prefix, family, bits, sortKey: `${family}${bits}` };
}
