import {
  type Address,
  addressBytes,
  type Family,
  familyOf,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../base/address.ts';
import type { Expression, Hex } from './expression.ts';
import { header, loadAddress, metaIs } from './load.ts';
import type { Statement } from './object.ts';

/**
 * The statements of the family netdev. There the protocol of the frame tells a packet's family (ETH_P_* in network
 * order).
 */

/** The packet is a fragment, and not the first. */
export const laterFragment = (of: Family): Statement => fragments[of];

/** A packet of IPv4 that is no fragment, or the first: most packets are. */
export const wholeOrFirst: Statement = {
  text: 'ip frag-off & 8191 == 0',
  expressions: [...loadFragmentOffset(), ...comparedWithZero('eq', '1fff')],
};

/** The frame holds a packet of the family. */
export const frameFamily = (of: Family): Statement => ({
  text: `meta protocol ${header[of].protocol}`,
  expressions: metaIs('protocol', etherType[of]),
});

/** ETH_P_IP and ETH_P_IPV6 in network order. */
const etherType = { 4: '0800', 6: '86dd' } as const;

/** Protocols of VLAN tags (IEEE 802.1Q), each with its number in network order: ETH_P_8021Q and ETH_P_8021AD. */
const tagTypes = { '8021q': '8100', '8021ad': '88a8' } as const;
export const tags = ['8021q', '8021ad'] as const;

/** The frame has a VLAN tag of the protocol behind another: the kernel takes the first one off before it asks chains. */
export const frameTagged = (tag: keyof typeof tagTypes): Statement => ({
  text: `meta protocol ${tag}`,
  expressions: metaIs('protocol', tagTypes[tag]),
});

/** The frame holds a packet with the address as its source, or one in the range. */
export function frameSourceIn(range: Address | Prefix): Statement {
  const of = familyOf(range);
  const { protocol, saddr } = header[of];
  const [address, bits] = range.includes('/')
    ? [prefixAddress(range), prefixLength(range)]
    : [range, header[of].length * 8];
  const data = Buffer.from(addressBytes(address)).toString('hex');
  const isWhole = bits === header[of].length * 8;
  return {
    text: `${protocol} saddr ${isWhole ? address : `${address}/${bits}`}`,
    expressions: [...metaIs('protocol', etherType[of]), ...sourceBits(of, saddr, bits, data)],
  };
}

/** The source address of the packet in the frame is in a set. */
export const frameSourceAmong = (of: Family, set: string): Statement => ({
  text: `${header[of].protocol} saddr @${set}`,
  expressions: [...metaIs('protocol', etherType[of]), loadAddress(of, 'saddr'), { name: 'lookup', set, sreg: 1 }],
});

/** The whole mark and the source address of the packet in the frame together are in a set of `mark . address`. */
export const markFrameSourceAmong = (of: Family, set: string): Statement => ({
  text: `meta mark . ${header[of].protocol} saddr @${set}`,
  expressions: [
    ...metaIs('protocol', etherType[of]),
    { name: 'meta', key: 'mark', dreg: 1 },
    loadAddress(of, 'saddr', 9), // behind 4 bytes
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** Gives the packet in the frame the mark that a map has for its source; none: the next rule. */
export const markByFrameSource = (of: Family, map: string): Statement => ({
  text: `meta mark set ${header[of].protocol} saddr map @${map}`,
  expressions: [
    ...metaIs('protocol', etherType[of]),
    loadAddress(of, 'saddr'),
    { name: 'lookup', set: map, sreg: 1, dreg: 1 },
    { name: 'meta', key: 'mark', sreg: 1 },
  ],
});

/** The first bits of a source address are these; whole bytes are loaded alone, as nft does it. */
function sourceBits(of: Family, offset: number, bits: number, data: Hex): Expression[] {
  const isAligned = bits % 8 === 0;
  const length = isAligned ? bits / 8 : header[of].length;
  const mask = maskOf(bits, length);
  return [
    { name: 'payload', base: 'network', offset, length, dreg: 1 },
    ...(isAligned ? [] : [{ name: 'bitwise', sreg: 1, dreg: 1, length, mask, xor: '00'.repeat(length) } as const]),
    { name: 'cmp', op: 'eq', sreg: 1, data: data.slice(0, 2 * length) },
  ];
}

const maskOf = (bits: number, length: number): Hex =>
  (((1n << BigInt(bits)) - 1n) << BigInt(8 * length - bits)).toString(16).padStart(2 * length, '0');

/** NEXTHDR_FRAGMENT */
const fragmentHeader = 44;

const fragments: Readonly<Record<Family, Statement>> = {
  4: {
    text: 'ip frag-off & 8191 != 0',
    expressions: [...loadFragmentOffset(), ...comparedWithZero('neq', '1fff')],
  },
  6: {
    text: 'frag frag-off != 0',
    expressions: [
      ...metaIs('protocol', '86dd'),
      { name: 'exthdr', header: fragmentHeader, offset: 2, length: 2, dreg: 1 },
      ...comparedWithZero('neq', 'fff8'),
    ],
  },
};

/** Of IPv4. */
function loadFragmentOffset(): Expression[] {
  return [...metaIs('protocol', '0800'), { name: 'payload', base: 'network', offset: 6, length: 2, dreg: 1 }];
}

/** The two bytes' bits under the mask. */
function comparedWithZero(op: 'eq' | 'neq', mask: Hex): Expression[] {
  return [
    { name: 'bitwise', sreg: 1, dreg: 1, length: 2, mask, xor: '0000' },
    { name: 'cmp', op, sreg: 1, data: '0000' },
  ];
}
