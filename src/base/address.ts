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

/** In blocks that are given to nobody (IANA: 240.0.0.0/4 is reserved, 4000::/3 unassigned): default routes alone lead there. */
export const nobody = { 4: '240.0.0.1', 6: '4000::1' } as const;

/** Six groups of four digits and an IPv4 address. Longer texts are no addresses; they come by mistake or by malice. */
const longestAddress = 45;

/**
 * The canonical text of an address, or `undefined` when the text is none (a zone or a prefix length is no address). An
 * IPv4-mapped one is the IPv4 address, as for sockets: no packet on a wire has such an address.
 */
export function parseAddress(text: string): Address | undefined {
  const bytes = parseBytes(text);
  return bytes && addressFromBytes(isMapped(bytes) ? bytes.subarray(mappedBits / 8) : bytes);
}

/** The length of ::ffff:0:0/96, the prefix of IPv4-mapped addresses (RFC 4291, section 2.5.5.2). */
const mappedBits = 96;

const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 && bytes.subarray(0, mappedBits / 8).every((byte, i) => byte === (i < 10 ? 0 : 0xff));

/**
 * The canonical text of a prefix, or `undefined` when the text is none. A bare address is the prefix of its full
 * length. Bits behind the length are cut off: `10.1.2.3/8` is `10.0.0.0/8`. One of IPv4-mapped addresses is that of the
 * IPv4 addresses: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', length, ...more] = text.split('/');
  const bytes = parseBytes(address);
  if (bytes === undefined || more.length > 0) return undefined;
  const bits = 8 * bytes.length;
  if (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const prefixLength = length === undefined ? bits : Number(length);
  if (prefixLength > bits) return undefined;
  if (prefixLength >= mappedBits && isMapped(bytes)) {
    const [short, rest] = [bytes.subarray(mappedBits / 8), prefixLength - mappedBits];
    return `${addressFromBytes(maskedBytes(short, rest))}/${rest}`;
  }
  return `${addressFromBytes(maskedBytes(bytes, prefixLength))}/${prefixLength}`;
}

/** Four numbers; IPv4 has no other spelling. */
const dottedDecimal = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** The bytes of an address however it is written. */
function parseBytes(text: string): Uint8Array | undefined {
  if (text.length > longestAddress) return undefined;
  if (dottedDecimal.test(text)) return Uint8Array.from(text.split('.'), Number);
  return parseGroups(text) ?? parseMixed(text);
}

/** IPv6 in groups of hexadecimal digits. A policy may have ten thousand ranges. */
function parseGroups(text: string): Uint8Array | undefined {
  if (!/^[\da-fA-F]{0,4}(?::[\da-fA-F]{0,4}){2,8}$/.test(text)) return undefined;
  const [head = [], tail, more] = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (more !== undefined || (tail === undefined ? missing !== 0 : missing < 1)) return undefined;
  const groups = [...head, ...Array<string>(missing).fill('0'), ...(tail ?? [])];
  if (groups.includes('')) return undefined;
  return bytesOfGroups(groups);
}

function bytesOfGroups(groups: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => {
    const number = Number.parseInt(group, 16);
    bytes[2 * i] = number >> 8;
    bytes[2 * i + 1] = number; // the low 8 bits of it
  });
  return bytes;
}

/** IPv6 that ends like IPv4 (RFC 4291, section 2.2). */
function parseMixed(text: string): Uint8Array | undefined {
  const start = text.lastIndexOf(':') + 1;
  const end = text.slice(start);
  if (start === 0 || !dottedDecimal.test(end)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = end.split('.').map(Number);
  return parseGroups(`${text.slice(0, start)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
}

/** The length of a canonical prefix: 0…32, or 0…128. */
export const prefixLength = (prefix: Prefix): number => Number(prefix.slice(prefix.indexOf('/') + 1));

/** The address of a canonical prefix. */
export const prefixAddress = (prefix: Prefix): Address => prefix.slice(0, prefix.indexOf('/'));

/** The 4 or 16 bytes of a canonical address in network order. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = parseBytes(address);
  if (bytes === undefined) throw new Error(`${address} is no address`);
  return bytes;
}

/** The canonical text of 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return bytes.join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  return shortened(groups.join(':'));
}

/** RFC 5952, section 4.2: the first of the longest runs of zeros is left out, unless it is a single one. */
function shortened(text: string): Address {
  if (!text.includes('0:0')) return text;
  const runs = [...text.matchAll(/\b0(?::0)+\b/g)];
  const [longest] = runs.sort((a, b) => b[0].length - a[0].length || a.index - b.index);
  if (longest === undefined) return text;
  const [before, after] = [text.slice(0, longest.index), text.slice(longest.index + longest[0].length)];
  return `${before.replace(/:$/, '')}::${after.replace(/^:/, '')}`;
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

/** An address with a port, as it stands in a URL: IPv6 in brackets. */
export const withPort = (address: Address, port: number): string =>
  familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
