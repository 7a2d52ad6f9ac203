import type { Family } from '../base/address.ts';
import type { Expression, Hex, Verdict } from './expression.ts';
import type { Statement } from './object.ts';

/**
 * The sentences that our rules are made of. Each gives both sides of one fact: the words that nft 1.0.6 prints, and the
 * instructions that it would send. Register 1 is free at the start of each statement.
 */

/** A 32-bit number as it lies in a register: in the order of the host, which is little-endian wherever Node runs. */
export function hostHex(value: number): Hex {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
}

const mark = (value: number) => `0x${value.toString(16).padStart(8, '0')}`;

/** Where the addresses lie in the network header (RFC 791, RFC 8200), and what nft calls it. */
const header = {
  4: { protocol: 'ip', saddr: 12, daddr: 16, length: 4, nfproto: '02' },
  6: { protocol: 'ip6', saddr: 8, daddr: 24, length: 16, nfproto: '0a' },
} as const;

const ofFamily = (family: Family): Expression[] => [
  { name: 'meta', key: 'nfproto', dreg: 1 },
  { name: 'cmp', op: 'eq', sreg: 1, data: header[family].nfproto },
];

const loadAddress = (family: Family, field: 'saddr' | 'daddr', dreg = 1): Expression => ({
  name: 'payload',
  base: 'network',
  offset: header[family][field],
  length: header[family].length,
  dreg,
});

const loadMark = (mask: number): Expression[] => [
  { name: 'meta', key: 'mark', dreg: 1 },
  { name: 'bitwise', sreg: 1, dreg: 1, length: 4, mask: hostHex(mask), xor: hostHex(0) },
];

/** The packet belongs to the family. */
export const family = (of: Family): Statement => ({ text: `meta nfproto ipv${of}`, expressions: ofFamily(of) });

/** The packet goes from the answering side to the asking side of its connection. */
export const isReply: Statement = {
  text: 'ct direction reply',
  expressions: [
    { name: 'ct', key: 'direction', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: '01' },
  ],
};

/** The destination is of one of the types in a set of `fib_addrtype`: the node itself, say. */
export const destinationTypeIn = (set: string): Statement => ({
  text: `fib daddr type @${set}`,
  expressions: [
    { name: 'fib', field: 'daddr', result: 'type', dreg: 1 },
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** RTN_LOCAL of linux/rtnetlink.h. */
const local = 2;

/** The source address is one of the node's own at this moment. */
export const sourceIsLocal: Statement = {
  text: 'fib saddr type local',
  expressions: [
    { name: 'fib', field: 'saddr', result: 'type', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(local) },
  ],
};

/**
 * The destination is in a set of addresses, or not in it. nft asks for the family once in a rule and leaves it out of
 * what it prints: say `first` for the first statement of a rule that speaks of the family.
 */
export const destinationIn = (of: Family, set: string, options: { first: boolean; not?: true }): Statement => ({
  text: `${header[of].protocol} daddr ${options.not ? '!= ' : ''}@${set}`,
  expressions: [
    ...(options.first ? ofFamily(of) : []),
    loadAddress(of, 'daddr'),
    { name: 'lookup', set, sreg: 1, ...(options.not ? { invert: true } : {}) },
  ],
});

/** The verdict that a map has for the source address; none: the next rule. */
export const sourceVerdict = (of: Family, map: string): Statement => ({
  text: `${header[of].protocol} saddr vmap @${map}`,
  expressions: [...ofFamily(of), loadAddress(of, 'saddr'), { name: 'lookup', set: map, sreg: 1, dreg: 0 }],
});

/** The mark has none of the bits. */
export const markWithout = (bits: number): Statement => ({
  text: `meta mark & ${mark(bits)} == ${mark(0)}`,
  expressions: [...loadMark(bits), { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(0) }],
});

/** Sets the bits of `mask` in the mark to those of `value`, and leaves all others as they are. */
export function setMark(mask: number, value: number): Statement {
  const keep = ~mask >>> 0;
  return {
    // nft prints the bits that may stay, which are those that it sets as well.
    text: `meta mark set meta mark & ${mark((keep | value) >>> 0)} | ${mark(value)}`,
    expressions: [
      { name: 'meta', key: 'mark', dreg: 1 },
      { name: 'bitwise', sreg: 1, dreg: 1, length: 4, mask: hostHex(keep), xor: hostHex(value) },
      { name: 'meta', key: 'mark', sreg: 1 },
    ],
  };
}

/** Gives the connection the source address that a map has for the masked mark; none: the next rule. */
export const snatByMark = (of: Family, mask: number, map: string): Statement => ({
  text: `snat ${header[of].protocol} to meta mark & ${mark(mask)} map @${map}`,
  expressions: [
    ...loadMark(mask),
    { name: 'lookup', set: map, sreg: 1, dreg: 1 },
    { name: 'nat', type: 'snat', family: of, addressRegister: 1 },
  ],
});

/** Masked mark, outgoing interface and source address together are in a set of `mark . ifname . address`. */
export const markDeviceSourceIn = (of: Family, mask: number, set: string): Statement => ({
  text: `meta mark & ${mark(mask)} . oifname . ${header[of].protocol} saddr @${set}`,
  expressions: [
    ...ofFamily(of),
    ...loadMark(mask),
    // The parts of a key lie behind one another in 4-byte registers: 8 (the same as 1), 9…12, 13….
    { name: 'meta', key: 'oifname', dreg: 9 },
    loadAddress(of, 'saddr', 13),
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** Masked mark and outgoing interface together are in a set of `mark . ifname`. */
export const markDeviceIn = (mask: number, set: string): Statement => ({
  text: `meta mark & ${mark(mask)} . oifname @${set}`,
  expressions: [...loadMark(mask), { name: 'meta', key: 'oifname', dreg: 9 }, { name: 'lookup', set, sreg: 1 }],
});

/**
 * The packet is a fragment, and not the first. For the family netdev, where the packet's family is known by its
 * protocol (ETH_P_* in network order).
 */
export const laterFragment = (of: Family): Statement => fragments[of];

/** NEXTHDR_FRAGMENT */
const fragmentHeader = 44;

const fragments: Readonly<Record<Family, Statement>> = {
  4: {
    text: 'ip frag-off & 8191 != 0',
    expressions: [
      ...ofProtocol('0800'),
      { name: 'payload', base: 'network', offset: 6, length: 2, dreg: 1 },
      ...isNotZero('1fff'),
    ],
  },
  6: {
    text: 'frag frag-off != 0',
    expressions: [
      ...ofProtocol('86dd'),
      { name: 'exthdr', header: fragmentHeader, offset: 2, length: 2, dreg: 1 },
      ...isNotZero('fff8'),
    ],
  },
};

function ofProtocol(protocol: Hex): Expression[] {
  return [
    { name: 'meta', key: 'protocol', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: protocol },
  ];
}

/** Some of the two bytes' bits under the mask are set. */
function isNotZero(mask: Hex): Expression[] {
  return [
    { name: 'bitwise', sreg: 1, dreg: 1, length: 2, mask, xor: '0000' },
    { name: 'cmp', op: 'neq', sreg: 1, data: '0000' },
  ];
}

/** Counts the packet. */
export const counter: Statement = { text: 'counter', expressions: [{ name: 'counter' }] };

/** Ends the rule. */
export const verdict = (of: Verdict): Statement => ({
  text: 'chain' in of ? `${of.code} ${of.chain}` : of.code,
  expressions: [{ name: 'immediate', verdict: of }],
});
