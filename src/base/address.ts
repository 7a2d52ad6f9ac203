import { Address4, Address6 } from 'ip-address';

/** 4 for IPv4, 6 for IPv6. */
export type Family = 4 | 6;

/** Both families, in the order in which we always treat them. */
export const families: readonly Family[] = [4, 6];

/**
 * An IP address as canonical text: dotted decimal, or RFC 5952 for IPv6. Equal addresses have equal texts, so that
 * they can be keys, be compared with `===`, and be stored as they are. Made by {@link parseAddress} only.
 */
export type Address = string;

/** A range of addresses as `address/length` in canonical text, with no bit set behind the length. */
export type Prefix = string;

/** The family of a canonical address or prefix. */
export const familyOf = (address: Address | Prefix): Family => (address.includes(':') ? 6 : 4);

/** Six groups of four digits and an IPv4 address. Longer texts come from people who mean no address, or no good. */
const longestAddress = 45;

/** The canonical text of an address, or `undefined` when the text is none (a zone or a prefix length is no address). */
export function parseAddress(text: string): Address | undefined {
  if (text.length > longestAddress || text.includes('/') || text.includes('%')) return undefined;
  try {
    return (text.includes(':') ? new Address6(text) : new Address4(text)).correctForm();
  } catch {
    return undefined;
  }
}

/**
 * The canonical text of a prefix, or `undefined` when the text is none. A bare address is the prefix of its full
 * length. Bits behind the length are cut off: `10.1.2.3/8` is `10.0.0.0/8`.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', length, ...more] = text.split('/');
  const canonical = parseAddress(address);
  if (canonical === undefined || more.length > 0) return undefined;
  const bits = familyOf(canonical) === 4 ? 32 : 128;
  if (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const prefixLength = length === undefined ? bits : Number(length);
  if (prefixLength > bits) return undefined;
  return `${addressFromBytes(maskedBytes(addressBytes(canonical), prefixLength))}/${prefixLength}`;
}

/** The length of a canonical prefix: 0…32, or 0…128. */
export const prefixLength = (prefix: Prefix): number => Number(prefix.slice(prefix.indexOf('/') + 1));

/** The address of a canonical prefix. */
export const prefixAddress = (prefix: Prefix): Address => prefix.slice(0, prefix.indexOf('/'));

/** The 4 or 16 bytes of a canonical address in network order. */
export function addressBytes(address: Address): Uint8Array {
  return Uint8Array.from(
    familyOf(address) === 4 ? address.split('.', 4).map(Number) : new Address6(address).toByteArray(),
  );
}

/** The canonical text of 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return [...bytes].join('.');
  return Address6.fromByteArray([...bytes]).correctForm();
}

function maskedBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))));
}

/** Whether a prefix holds an address or another prefix. */
export function contains(prefix: Prefix, inner: Address | Prefix): boolean {
  if (familyOf(prefix) !== familyOf(inner)) return false;
  const [length, isPrefix] = [prefixLength(prefix), inner.includes('/')];
  if (isPrefix && prefixLength(inner) < length) return false;
  const bytes = maskedBytes(addressBytes(isPrefix ? prefixAddress(inner) : inner), length);
  const outer = addressBytes(prefixAddress(prefix));
  return bytes.every((byte, i) => byte === outer[i]);
}
