import assert from 'node:assert/strict';

// Addresses and ranges as numbers, without anything of the program: see by-hand.ts.

/** Addresses from the first to the last one. IPv6 begins at 2^32, so that no address is in both families. */
export interface Range {
  readonly first: bigint;
  readonly last: bigint;
  readonly length: number;
}

export const allOf4: Range = { first: 0n, last: 0xffffffffn, length: 0 };
export const sixes = 1n << 32n;
export const allOf6: Range = { first: sixes, last: sixes + (1n << 128n) - 1n, length: 0 };

export function textOf(value: unknown): string {
  assert.ok(typeof value === 'string' && value !== '', 'a text is expected');
  return value;
}

/**
 * `address` or `address/length`: all addresses that agree in the first bits. Where these say that all are IPv4-mapped, the
 * IPv4 addresses are meant.
 */
export function rangeOf(value: unknown): Range {
  const [address = '', length, ...more] = textOf(value).split('/');
  const at = plainNumberOf(address);
  const bits = at < sixes ? 32 : 128;
  const fixed = length === undefined ? bits : Number(length);
  assert.ok(more.length === 0 && /^(0|[1-9]\d*)$/.test(length ?? '0') && fixed <= bits, `${value} is no range`);
  return isMapped(at) && fixed >= 96 ? rangeAt(at - mapped, fixed - 96) : rangeAt(at, fixed);
}

function rangeAt(at: bigint, length: number): Range {
  const [base, bits] = at < sixes ? [0n, 32] : [sixes, 128];
  const size = 1n << BigInt(bits - length);
  const first = base + ((at - base) / size) * size;
  return { first, last: first + size - 1n, length };
}

export const holds = ({ first, last }: Range, at: bigint): boolean => first <= at && at <= last;

/** ::ffff:0:0, the first of the IPv4-mapped addresses: no packet has one, and people mean the IPv4 address. */
const mapped = sixes + 0xffff_0000_0000n;
const isMapped = (at: bigint): boolean => at >= mapped && at <= mapped + allOf4.last;

/** An address as a number. */
export function numberOf(address: string): bigint {
  const at = plainNumberOf(address);
  return isMapped(at) ? at - mapped : at;
}

function plainNumberOf(address: string): bigint {
  if (!address.includes(':')) return numberOf4(address);
  const [head = '', tail, ...more] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').flatMap(groupsIn));
  const [left, right] = [groups(head), groups(tail ?? '')];
  const zeros = 8 - left.length - right.length;
  assert.ok(more.length === 0 && (tail === undefined ? zeros === 0 : zeros > 0), `${address} is no address`);
  return [...left, ...Array(zeros).fill(0n), ...right].reduce<bigint>((sum, group) => (sum << 16n) + group, 0n) + sixes;
}

function groupsIn(text: string): bigint[] {
  if (text.includes('.')) {
    const low = numberOf4(text);
    return [low >> 16n, low & 0xffffn];
  }
  assert.match(text, /^[0-9a-fA-F]{1,4}$/, `${text} is no part of an address`);
  return [BigInt(`0x${text}`)];
}

function numberOf4(text: string): bigint {
  const parts = text.split('.');
  const isByte = (part: string) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256;
  assert.ok(parts.length === 4 && parts.every(isByte), `${text} is no address`);
  return parts.reduce((sum, part) => (sum << 8n) + BigInt(part), 0n);
}

/** The address of a number: {@link numberOf} backwards; undefined when no packet has it. */
export function addressOf(at: bigint): string | undefined {
  if (at < 0n || at > allOf6.last || isMapped(at)) return undefined;
  if (at < sixes) return [24n, 16n, 8n, 0n].map((shift) => (at >> shift) & 255n).join('.');
  const digits = (at - sixes).toString(16).padStart(32, '0');
  return digits
    .match(/.{4}/g)
    ?.map((group) => group.replace(/^0{1,3}/, ''))
    .join(':');
}
