import { type Address, addressBytes, type Family, familyOf } from '../base/address.ts';
import {
  deviceHex,
  header,
  hostHex,
  loadAddress,
  loadMark,
  loadMarkAndDevice,
  metaIs,
  ofFamily,
  printMark,
} from './load.ts';
import type { Statement } from './object.ts';

export * from './action.ts';
export * from './fib.ts';
export * from './frame.ts';
export { deviceHex, hostHex } from './load.ts';
export * from './protocol.ts';

/**
 * The sentences that our rules are made of. Each gives both sides of one fact: the words that nft 1.0.6 prints, and the
 * instructions that it would send. Register 1 is free at the start of each statement.
 */

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

/** The packet goes from the side that began its connection to the other. */
export const isOriginal: Statement = {
  text: 'ct direction original',
  expressions: [
    { name: 'ct', key: 'direction', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: '00' },
  ],
};

/** Whether a statement about addresses is the first of its rule that speaks of the family, and whether it denies. */
export interface AddressOptions {
  readonly first: boolean;
  readonly not?: true;
}

/**
 * The destination is in a set of addresses, or not in it. nft asks for the family once in a rule, and does not print
 * the question: `first` marks the first statement of a rule about the family.
 */
export const destinationIn = (of: Family, set: string, options: AddressOptions): Statement =>
  addressIn(of, 'daddr', set, options);

/** The destination is the address. It is the first statement of its rule about the family. */
export function destinationIs(address: Address): Statement {
  const of = familyOf(address);
  return {
    text: `${header[of].protocol} daddr ${address}`,
    expressions: [
      ...ofFamily(of),
      loadAddress(of, 'daddr'),
      { name: 'cmp', op: 'eq', sreg: 1, data: Buffer.from(addressBytes(address)).toString('hex') },
    ],
  };
}

/** The source is in a set of addresses, or not in it; see {@link destinationIn}. */
export const sourceIn = (of: Family, set: string, options: AddressOptions): Statement =>
  addressIn(of, 'saddr', set, options);

const addressIn = (of: Family, field: 'saddr' | 'daddr', set: string, options: AddressOptions): Statement => ({
  text: `${header[of].protocol} ${field} ${options.not ? '!= ' : ''}@${set}`,
  expressions: [
    ...(options.first ? ofFamily(of) : []),
    loadAddress(of, field),
    { name: 'lookup', set, sreg: 1, ...(options.not ? { invert: true } : {}) },
  ],
});

/** The packet's source, twice, is in a set of {@link ofAnothersConnection}. */
export const sourceTwiceIn = (of: Family, set: string): Statement => ({
  text: `${header[of].protocol} saddr . ${header[of].protocol} saddr @${set}`,
  expressions: [
    ...ofFamily(of),
    loadAddress(of, 'saddr'),
    loadAddress(of, 'saddr', secondPart[of]),
    { name: 'lookup', set, sreg: 1 },
  ],
});

/**
 * The packet's source and the end of its connection that replies come from (after DNAT) are no pair of a set. The family has to
 * be asked for before.
 */
export const ofAnothersConnection = (of: Family, set: string): Statement => ({
  text: `${header[of].protocol} saddr . ct reply ${header[of].protocol} saddr != @${set}`,
  expressions: [
    loadAddress(of, 'saddr'),
    { name: 'ct', key: header[of].src, direction: 'reply', dreg: secondPart[of] },
    { name: 'lookup', set, sreg: 1, invert: true },
  ],
});

/** The register behind that of an address, as the kernel and nft call it: 8 (the same as 1) and 9; 1 and 2 of 16 bytes. */
const secondPart = { 4: 9, 6: 2 } as const;

/**
 * The destination of the connection's replies is in a set: its source after SNAT. Packets of the other family, and
 * those without a connection, do not match; the family still has to be asked for by what comes after.
 */
export const replyDestinationIn = (of: Family, set: string): Statement => ({
  text: `ct reply ${header[of].protocol} daddr @${set}`,
  expressions: [
    { name: 'ct', key: header[of].dst, direction: 'reply', dreg: 1 },
    { name: 'lookup', set, sreg: 1 },
  ],
});

/**
 * The verdict that a map has for the address that the first packet of the connection was sent to, before DNAT; none: the
 * next rule. Packets of the other family, and those without a connection, do not match.
 */
export const originalDestinationVerdict = (of: Family, map: string): Statement => ({
  text: `ct original ${header[of].protocol} daddr vmap @${map}`,
  expressions: [
    { name: 'ct', key: header[of].dst, direction: 'original', dreg: 1 },
    { name: 'lookup', set: map, sreg: 1, dreg: 0 },
  ],
});

/**
 * The verdict that a map has for the connection, by conntrack's number of it: a hash of 32 bits, which two connections share
 * once in four thousand million times. None: the next rule, as for first packets before Linux 5.10, which have no number yet.
 */
export const connectionVerdict = (map: string): Statement => ({
  text: `ct id vmap @${map}`,
  expressions: [
    { name: 'ct', key: 'id', dreg: 1 },
    { name: 'lookup', set: map, sreg: 1, dreg: 0 },
  ],
});

/** The verdict that a map has for the source address; none: the next rule. */
export const sourceVerdict = (of: Family, map: string): Statement => ({
  text: `${header[of].protocol} saddr vmap @${map}`,
  expressions: [...ofFamily(of), loadAddress(of, 'saddr'), { name: 'lookup', set: map, sreg: 1, dreg: 0 }],
});

/**
 * The verdict that a map has for the address that the connection began at, before any translation; none, or a packet
 * without a connection: the next rule.
 */
export const originVerdict = (of: Family, map: string): Statement => ({
  text: `ct original ${header[of].protocol} saddr vmap @${map}`,
  expressions: [
    { name: 'ct', key: header[of].src, direction: 'original', dreg: 1 },
    { name: 'lookup', set: map, sreg: 1, dreg: 0 },
  ],
});

/**
 * The address that the connection began at, before any translation, is not in a set. Packets of the other family, and
 * those without a connection, do not match.
 */
export const originNotIn = (of: Family, set: string): Statement => ({
  text: `ct original ${header[of].protocol} saddr != @${set}`,
  expressions: [
    { name: 'ct', key: header[of].src, direction: 'original', dreg: 1 },
    { name: 'lookup', set, sreg: 1, invert: true },
  ],
});

/** The address that the connection began at, before any translation, is in a set; see {@link originNotIn}. */
export const originIn = (of: Family, set: string): Statement => ({
  text: `ct original ${header[of].protocol} saddr @${set}`,
  expressions: [
    { name: 'ct', key: header[of].src, direction: 'original', dreg: 1 },
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** Masked mark and the address that the connection began at, before any translation, are together in a set; see {@link originNotIn}. */
export const markOriginIn = (of: Family, mask: number, set: string): Statement => ({
  text: `meta mark & ${printMark(mask)} . ct original ${header[of].protocol} saddr @${set}`,
  expressions: [
    ...loadMark(mask),
    { name: 'ct', key: header[of].src, direction: 'original', dreg: 9 }, // behind the 4 bytes of the mark
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** The verdict that a map has for masked mark and source address together; none: the next rule. */
export const markSourceVerdict = (of: Family, mask: number, map: string): Statement => ({
  text: `meta mark & ${printMark(mask)} . ${header[of].protocol} saddr vmap @${map}`,
  expressions: [
    ...ofFamily(of),
    ...loadMark(mask),
    loadAddress(of, 'saddr', 9), // behind the 4 bytes of the mark
    { name: 'lookup', set: map, sreg: 1, dreg: 0 },
  ],
});

/** The packet came in by the interface. */
export const arrivesBy = (device: string): Statement => ({
  text: `iifname "${device}"`,
  expressions: metaIs('iifname', deviceHex(device)),
});

/** The packet did not come in by the interface; one that the node sends came in by none. */
export const arrivesNotBy = (device: string): Statement => ({
  text: `iifname != "${device}"`,
  expressions: metaIs('iifname', deviceHex(device), 'neq'),
});

/** Nobody knows yet where the packet is to go out: it is in prerouting. */
export const isBeforeRouting: Statement = { text: 'oif 0', expressions: metaIs('oif', hostHex(0)) };

/** The packet did not come in by any of the interfaces in a set of `ifname`. */
export const arrivesNotIn = (set: string): Statement => ({
  text: `iifname != @${set}`,
  expressions: [
    { name: 'meta', key: 'iifname', dreg: 1 },
    { name: 'lookup', set, sreg: 1, invert: true },
  ],
});

/** The packet is to go out by the interface. */
export const leavesBy = (device: string): Statement => ({
  text: `oifname "${device}"`,
  expressions: metaIs('oifname', deviceHex(device)),
});

/** The verdict that a map has for the whole mark; none: the next rule. */
export const markVerdict = (map: string): Statement => ({
  text: `meta mark vmap @${map}`,
  expressions: [
    { name: 'meta', key: 'mark', dreg: 1 },
    { name: 'lookup', set: map, sreg: 1, dreg: 0 },
  ],
});

/** The verdict that a map of `mark . ifname` has for masked mark and outgoing interface together; none: the next rule. */
export const markDeviceVerdict = (mask: number, map: string): Statement => ({
  text: `meta mark & ${printMark(mask)} . oifname vmap @${map}`,
  expressions: [...loadMarkAndDevice(mask), { name: 'lookup', set: map, sreg: 1, dreg: 0 }],
});

/** The verdict that a map has for the masked mark; none: the next rule. */
export const markPartVerdict = (mask: number, map: string): Statement => ({
  text: `meta mark & ${printMark(mask)} vmap @${map}`,
  expressions: [...loadMark(mask), { name: 'lookup', set: map, sreg: 1, dreg: 0 }],
});

/** The masked mark has this value. */
export const markIs = (mask: number, value: number): Statement => ({
  text: `meta mark & ${printMark(mask)} == ${printMark(value)}`,
  expressions: [...loadMark(mask), { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(value) }],
});

/** The mark is this, with all its bits. */
export const markIsExactly = (value: number): Statement => ({
  text: `meta mark ${printMark(value)}`,
  expressions: metaIs('mark', hostHex(value)),
});

/** The masked mark has another value. */
export const markIsNot = (mask: number, value: number): Statement => ({
  text: `meta mark & ${printMark(mask)} != ${printMark(value)}`,
  expressions: [...loadMark(mask), { name: 'cmp', op: 'neq', sreg: 1, data: hostHex(value) }],
});

/** The masked mark is in a set. */
export const markIn = (mask: number, set: string): Statement => ({
  text: `meta mark & ${printMark(mask)} == @${set}`,
  expressions: [...loadMark(mask), { name: 'lookup', set, sreg: 1 }],
});

/** The mark has none of the bits. */
export const markWithout = (bits: number): Statement => markIs(bits, 0);

/** Masked mark, outgoing interface and source address together are in a set of `mark . ifname . address`. */
export const markDeviceSourceIn = (of: Family, mask: number, set: string): Statement => ({
  text: `meta mark & ${printMark(mask)} . oifname . ${header[of].protocol} saddr @${set}`,
  expressions: [
    ...ofFamily(of),
    ...loadMarkAndDevice(mask),
    loadAddress(of, 'saddr', 13),
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** Masked mark and outgoing interface together are in a set of `mark . ifname`. */
export const markDeviceIn = (mask: number, set: string): Statement => ({
  text: `meta mark & ${printMark(mask)} . oifname @${set}`,
  expressions: [...loadMarkAndDevice(mask), { name: 'lookup', set, sreg: 1 }],
});
