import { type Address, addressBytes, addressFromBytes, type Family } from '../base/address.ts';
import type { Expression, Hex, Verdict } from './expression.ts';
import { header, hostHex, loadAddress, loadMark, loadMarkAndDevice, ofFamily, printMark } from './load.ts';
import type { Statement } from './object.ts';

/** The statements that act on a packet. The statements in `statement.ts` say which packets a rule is about. */

/** Sets the bits of `mask` in the mark to those of `value`, and leaves all others as they are. */
export function setMark(mask: number, value: number): Statement {
  const keep = ~mask >>> 0;
  return {
    // nft prints the bits that may stay, and counts the bits that it sets among them.
    text: `meta mark set meta mark & ${printMark((keep | value) >>> 0)} | ${printMark(value)}`,
    expressions: [
      { name: 'meta', key: 'mark', dreg: 1 },
      { name: 'bitwise', sreg: 1, dreg: 1, length: 4, mask: hostHex(keep), xor: hostHex(value) },
      { name: 'meta', key: 'mark', sreg: 1 },
    ],
  };
}

/** Clears all bits of the mark but those of the mask. */
export const keepMark = (mask: number): Statement => ({
  text: `meta mark set meta mark & ${printMark(mask)}`,
  expressions: [...loadMark(mask), { name: 'meta', key: 'mark', sreg: 1 }],
});

/**
 * Writes another source address of the packet's connection into its header: the one that answers go to (after SNAT), or the one
 * that it began with. Asks for the family itself: no statement before it may.
 */
export function writeSource(of: Family, address: 'ct reply daddr' | 'ct original saddr'): Statement {
  const { protocol, saddr, length, src, dst } = header[of];
  const [key, direction, word] =
    address === 'ct reply daddr' ? ([dst, 'reply', 'daddr'] as const) : ([src, 'original', 'saddr'] as const);
  return {
    text: `${protocol} saddr set ct ${direction} ${protocol} ${word}`,
    expressions: [
      ...ofFamily(of),
      { name: 'ct', key, direction, dreg: 1 },
      {
        ...{ name: 'payload', sreg: 1, base: 'network', offset: saddr, length },
        ...(of === 4 ? { checksum: 'inet', checksumOffset: 10 } : { checksum: 'none', checksumOffset: 0 }),
        checksumFlags: 1,
      },
    ],
  };
}

/**
 * Gives the connection the source address that a map of `mark . ifname` has for masked mark and outgoing interface
 * together; none: the next rule.
 */
export const snatByMarkAndDevice = (of: Family, mask: number, map: string): Statement => ({
  text: `snat ${header[of].protocol} to meta mark & ${printMark(mask)} . oifname map @${map}`,
  expressions: [
    ...loadMarkAndDevice(mask),
    { name: 'lookup', set: map, sreg: 1, dreg: 1 },
    { name: 'nat', type: 'snat', family: of, addressRegister: 1 },
  ],
});

/**
 * SNAT to the address that a map has for the low bits of the source address (`mask`); without such an element the next
 * rule follows. Asks for the family itself: no statement before it may.
 */
export function snatBySource(of: Family, mask: number, map: string): Statement {
  const { protocol, length } = header[of];
  const bytes = maskHex(mask, length);
  return {
    text: `snat ${protocol} to ${protocol} saddr & ${addressFromBytes(Buffer.from(bytes, 'hex'))} map @${map}`,
    expressions: [...ofFamily(of), loadAddress(of, 'saddr'), ...snatByMasked(of, bytes, map)],
  };
}

/**
 * Gives the connection the source address that a map has for the masked source port; none: the next rule. Of a protocol
 * without ports the first two bytes of its header are taken: of ICMP type and code.
 */
export const snatBySourcePort = (of: Family, mask: number, map: string): Statement => ({
  text: `snat ${header[of].protocol} to th sport & ${mask} map @${map}`,
  expressions: [
    { name: 'payload', base: 'transport', offset: 0, length: 2, dreg: 1 },
    ...snatByMasked(of, maskHex(mask, 2), map),
  ],
});

const maskHex = (mask: number, length: number): Hex => mask.toString(16).padStart(2 * length, '0');

/** Masks register 1, and looks the source address up in a map by the rest. */
const snatByMasked = (of: Family, mask: Hex, map: string): readonly Expression[] => [
  { name: 'bitwise', sreg: 1, dreg: 1, length: mask.length / 2, mask, xor: '0'.repeat(mask.length) },
  { name: 'lookup', set: map, sreg: 1, dreg: 1 },
  { name: 'nat', type: 'snat', family: of, addressRegister: 1 },
];

/**
 * SNAT to the packet's own source address: no later rule gives it another. Asks for the family itself: no statement
 * before it may.
 */
export const snatToSource = (of: Family): Statement => ({
  text: `snat ${header[of].protocol} to ${header[of].protocol} saddr`,
  expressions: [
    ...ofFamily(of),
    loadAddress(of, 'saddr'),
    { name: 'nat', type: 'snat', family: of, addressRegister: 1 },
  ],
});

/**
 * SNAT to `address` (absent: keep it) and a port in first…last, 1 to 65535; the kernel keeps the current port if it is
 * in range and free. Its rule has asked for a protocol with ports before, and not for the family.
 */
export function snatToPorts(
  of: Family,
  address: Address | undefined,
  { first, last }: { readonly first: number; readonly last: number },
): Statement {
  const { protocol } = header[of];
  const source = address === undefined ? `${protocol} saddr` : of === 6 ? `[${address}]` : address;
  return {
    text: `snat ${protocol} to ${source}:${first}-${last}`,
    expressions: [
      ...(address === undefined
        ? [...ofFamily(of), loadAddress(of, 'saddr')]
        : [{ name: 'immediate', dreg: 1, data: bytesHex(addressBytes(address)) } as const]),
      { name: 'immediate', dreg: 2, data: portHex(first) },
      { name: 'immediate', dreg: 3, data: portHex(last) },
      { name: 'nat', type: 'snat', family: of, addressRegister: 1, portRegister: 2, lastPortRegister: 3 },
    ],
  };
}

const bytesHex = (bytes: Uint8Array): Hex => Buffer.from(bytes).toString('hex');
const portHex = (port: number): Hex => port.toString(16).padStart(4, '0');

/** Gives the connection an address of the interface that it goes out by. */
export const masquerade: Statement = { text: 'masquerade', expressions: [{ name: 'masq' }] };

/** Lets the packet pass without a connection. Its chain is hooked in before conntrack, at -300. */
export const notrack: Statement = { text: 'notrack', expressions: [{ name: 'notrack' }] };

/** TCPOPT_MAXSEG */
const maximumSegment = 2;

/** Lowers the maximum segment size of a TCP packet to the MTU of its route. Works in forward. */
export const clampToRoute: Statement = {
  text: 'tcp option maxseg size set rt mtu',
  expressions: [
    { name: 'rt', key: 'tcpmss', dreg: 1 },
    { name: 'byteorder', op: 'hton', sreg: 1, dreg: 1, length: 2, size: 2 },
    { name: 'exthdr', option: maximumSegment, offset: 2, length: 2, sreg: 1 },
  ],
};

/** Counts the packet. */
export const counter: Statement = { text: 'counter', expressions: [{ name: 'counter' }] };

/** Ends the rule. */
export const verdict = (of: Verdict): Statement => ({
  text: 'chain' in of ? `${of.code} ${of.chain}` : of.code,
  expressions: [{ name: 'immediate', verdict: of }],
});
