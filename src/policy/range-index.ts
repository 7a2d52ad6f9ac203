import { type Address, addressBytes, contains, type Prefix, prefixAddress, prefixLength } from '../base/address.ts';
import { once } from '../base/once.ts';

/** Prefixes of one length, as texts: a character for each byte. */
interface Length {
  /** Bytes of an address of the family, and bits of the prefixes. */
  readonly size: number;
  readonly length: number;
  readonly texts: Set<string>;
}

/**
 * Whether one of the prefixes holds an address. They are made ready once, and then one look for each length that they have is
 * enough, however many they are: each of a hundred thousand connections is asked about, and a policy may have ten thousand ranges.
 */
export function holdsAny(prefixes: readonly Prefix[], address: Address): boolean {
  const bytes = bytesOf(address);
  return lengthsOf(prefixes).some(
    ({ size, length, texts }) => size === bytes.length && texts.has(maskedText(bytes, length)),
  );
}

/** The first of some ranges that holds an address. */
export const firstHolding = (ranges: readonly Prefix[], address: Address): Prefix | undefined =>
  holdsAny(ranges, address) ? ranges.find((range) => contains(range, address)) : undefined;

const lengthsOf = once((prefixes: readonly Prefix[]): readonly Length[] => {
  const lengths = new Map<string, Length>();
  for (const prefix of prefixes) {
    const [bytes, length] = [addressBytes(prefixAddress(prefix)), prefixLength(prefix)];
    const key = `${bytes.length} ${length}`;
    const known = lengths.get(key) ?? { size: bytes.length, length, texts: new Set() };
    lengths.set(key, known);
    known.texts.add(maskedText(bytes, length));
  }
  return [...lengths.values()];
});

function maskedText(bytes: Uint8Array, length: number): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++)
    text += String.fromCharCode((bytes[i] ?? 0) & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))));
  return text;
}

/** One address is asked about in several lists, one after the other. */
let last: { readonly address: Address; readonly bytes: Uint8Array } | undefined;

function bytesOf(address: Address): Uint8Array {
  if (last?.address !== address) last = { address, bytes: addressBytes(address) };
  return last.bytes;
}
