import type { Family } from '../base/address.ts';
import type { Expression, Hex } from './expression.ts';

/** The begin of statements: a number, an address or a name in register 1. */

/** A 32-bit number as it lies in a register: in the order of the host, which is little-endian wherever Node runs. */
export function hostHex(value: number): Hex {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
}

/** The name of an interface as it lies in a register (IFNAMSIZ), and in a key: 16 bytes. */
export const deviceHex = (device: string): Hex => Buffer.from(device).toString('hex').padEnd(32, '0');

/** A mark, or a mask for it, as nft prints it. */
export const printMark = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

/** A family's names and number, and the places of the addresses in its header (RFC 791, RFC 8200). */
export const header = {
  4: { protocol: 'ip', saddr: 12, daddr: 16, length: 4, nfproto: '02', src: 'src_ip', dst: 'dst_ip' },
  6: { protocol: 'ip6', saddr: 8, daddr: 24, length: 16, nfproto: '0a', src: 'src_ip6', dst: 'dst_ip6' },
} as const;

/** The packet's `meta` value of the key is `data`, or with `neq` is another. */
export const metaIs = (
  key: Extract<Expression, { name: 'meta' }>['key'],
  data: Hex,
  op: 'eq' | 'neq' = 'eq',
): readonly Expression[] => [
  { name: 'meta', key, dreg: 1 },
  { name: 'cmp', op, sreg: 1, data },
];

/** Asks for the family of the packet. */
export const ofFamily = (family: Family): readonly Expression[] => metaIs('nfproto', header[family].nfproto);

/** Loads an address of the packet. */
export const loadAddress = (family: Family, field: 'saddr' | 'daddr', dreg = 1): Expression => ({
  name: 'payload',
  base: 'network',
  offset: header[family][field],
  length: header[family].length,
  dreg,
});

/** Loads the mark, as far as the mask lets it through. */
export const loadMark = (mask: number): readonly Expression[] => [
  { name: 'meta', key: 'mark', dreg: 1 },
  { name: 'bitwise', sreg: 1, dreg: 1, length: 4, mask: hostHex(mask), xor: hostHex(0) },
];

/** Loads the masked mark and the outgoing interface as the first two parts of a key. */
export const loadMarkAndDevice = (mask: number): readonly Expression[] => [
  ...loadMark(mask),
  // The parts of a key lie behind one another in 4-byte registers: 8 (the same as 1), 9…12, 13….
  { name: 'meta', key: 'oifname', dreg: 9 },
];
