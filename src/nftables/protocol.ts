import type { Family } from '../base/address.ts';
import { type Protocol, protocolNumber } from '../base/port-range.ts';
import type { Expression, Hex } from './expression.ts';
import { hostHex, metaIs } from './load.ts';
import type { Statement } from './object.ts';

/** The statements that ask for the protocol of a packet, its ports, and conntrack's facts about its connection. */

/** A protocol with ports, at the same place in its header as in TCP's. */
export type PortProtocol = Exclude<Protocol, 'icmp'>;

const icmpNames = { 4: 'icmp', 6: 'ipv6-icmp' } as const;

/** What nft calls a protocol. */
const nameOf = (protocol: Protocol, of: Family): string => (protocol === 'icmp' ? icmpNames[of] : protocol);

/** The number of a protocol as it lies in a register. */
const numberOf = (protocol: Protocol, of: Family): Hex => protocolNumber(protocol, of).toString(16).padStart(2, '0');

const protocolIs = (protocol: Protocol, of: Family = 4): readonly Expression[] =>
  metaIs('l4proto', numberOf(protocol, of));

/** Loads the destination port of a packet whose protocol was asked for. */
const loadDestinationPort: Expression = { name: 'payload', base: 'transport', offset: 2, length: 2, dreg: 1 };

/** The packet is of a protocol; the family says of which ICMP. */
export const isProtocol = (protocol: Protocol, of: Family = 4): Statement => ({
  text: `meta l4proto ${nameOf(protocol, of)}`,
  expressions: protocolIs(protocol, of),
});

/** The packet is not of the family's ICMP: neighbour discovery is, with IPv6. */
export const isNotProtocol = (of: Family): Statement => ({
  text: `meta l4proto != ${nameOf('icmp', of)}`,
  expressions: metaIs('l4proto', numberOf('icmp', of), 'neq'),
});

/** The destination port of a packet of the protocol is in a set of `inet_service`. */
export const destinationPortIn = (protocol: PortProtocol, set: string): Statement => ({
  text: `${protocol} dport @${set}`,
  expressions: [...protocolIs(protocol), loadDestinationPort, { name: 'lookup', set, sreg: 1 }],
});

/** A datagram of UDP for the port, 1 to 65535. */
export const udpDestinationPort = (port: number): Statement => ({
  text: `udp dport ${port}`,
  expressions: [
    ...protocolIs('udp'),
    loadDestinationPort,
    { name: 'cmp', op: 'eq', sreg: 1, data: port.toString(16).padStart(4, '0') },
  ],
});

/**
 * An ICMP packet of the family whose connection has the protocol. Conntrack counts a ping to a connection of `icmp`,
 * and an error message to the connection that it reports on. Without a connection nothing matches.
 */
export const icmpOfConnection = (protocol: Protocol, of: Family): Statement => ({
  text: `meta l4proto ${nameOf('icmp', of)} ct protocol ${nameOf(protocol, of)}`,
  expressions: [
    ...protocolIs('icmp', of),
    { name: 'ct', key: 'protocol', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: numberOf(protocol, of) },
  ],
});

/**
 * The same, with the connection's destination port in a set of `inet_service`. It is the port after DNAT, where replies
 * come from.
 */
export function icmpOfConnectionTo(protocol: PortProtocol, of: Family, set: string): Statement {
  const { text, expressions } = icmpOfConnection(protocol, of);
  return {
    text: `${text} ct reply proto-src @${set}`,
    expressions: [
      ...expressions,
      { name: 'ct', key: 'proto_src', direction: 'reply', dreg: 1 },
      { name: 'lookup', set, sreg: 1 },
    ],
  };
}

/** Loads bits of the connection's state or status, as conntrack has them. */
const loadBits = (key: 'state' | 'status', mask: number): readonly Expression[] => [
  { name: 'ct', key, dreg: 1 },
  { name: 'bitwise', sreg: 1, dreg: 1, length: 4, mask: hostHex(mask), xor: hostHex(0) },
];

/** One of the bits is set in the connection's state or status; `names` are nft's words for them. */
const hasBits = (key: 'state' | 'status', names: string, mask: number): Statement => ({
  text: `ct ${key} ${names}`,
  expressions: [...loadBits(key, mask), { name: 'cmp', op: 'neq', sreg: 1, data: hostHex(0) }],
});

/** NF_CT_STATE_BIT of IP_CT_ESTABLISHED, IP_CT_RELATED and IP_CT_NEW of linux/netfilter/nf_conntrack_common.h. */
const establishedPacket = 2;
const relatedPacket = 4;
const newConnection = 8;
const untrackedPacket = 1 << 6;

/** A packet of the family's ICMP that conntrack counts to no other connection: a ping, or an invalid packet. */
export const icmpOfItsOwn = (of: Family): Statement => ({
  text: `meta l4proto ${nameOf('icmp', of)} ct state ! related`,
  expressions: [
    ...protocolIs('icmp', of),
    ...loadBits('state', relatedPacket),
    { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(0) },
  ],
});

/**
 * Conntrack knows the packet's connection, or makes one of it: NAT has seen it. NAT sees no invalid and no untracked
 * packets.
 */
export const isTracked = hasBits('state', 'established,related,new', establishedPacket | relatedPacket | newConnection);

/** A packet of a connection that both sides have sent packets of. */
export const isEstablished = hasBits('state', 'established', establishedPacket);

/** An ICMP error that belongs to a connection, or a connection that another one asked for. */
export const isRelated = hasBits('state', 'related', relatedPacket);

/** Somebody had conntrack not track the packet. */
export const isUntracked = hasBits('state', 'untracked', untrackedPacket);

/** IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h. */
const dstNat = 0x20;

/** The connection went to another destination than it asked for: a Service's, say. */
export const isDestinationTranslated = hasBits('status', 'dnat', dstNat);

/** IPS_CONFIRMED of linux/netfilter/nf_conntrack_common.h. */
const confirmed = 8;

/** Conntrack makes the connection of this packet: none of its packets has left, or was taken in, before. */
export const isFirst: Statement = {
  text: 'ct status ! confirmed',
  expressions: [...loadBits('status', confirmed), { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(0) }],
};

/** IPS_SRC_NAT of linux/netfilter/nf_conntrack_common.h. */
const srcNat = 0x10;

/** The connection goes with another source than it began with. */
export const isSourceTranslated = hasBits('status', 'snat', srcNat);

/** The packet opens a TCP connection, from either side: of SYN and RST it has SYN alone. */
export const isSyn: Statement = {
  text: 'tcp flags syn / syn,rst',
  expressions: [
    ...protocolIs('tcp'),
    { name: 'payload', base: 'transport', offset: 13, length: 1, dreg: 1 },
    { name: 'bitwise', sreg: 1, dreg: 1, length: 1, mask: '06', xor: '00' },
    { name: 'cmp', op: 'eq', sreg: 1, data: '02' },
  ],
};

/** A reset for a packet of a connection that nobody here knows (RFC 9293, 3.5.2): one that refuses a connection has an ACK, too. */
export const isResetOfUnknown: Statement = {
  text: 'tcp flags rst / rst,ack',
  expressions: [
    ...protocolIs('tcp'),
    { name: 'payload', base: 'transport', offset: 13, length: 1, dreg: 1 },
    { name: 'bitwise', sreg: 1, dreg: 1, length: 1, mask: '14', xor: '00' },
    { name: 'cmp', op: 'eq', sreg: 1, data: '04' },
  ],
};

/** A port of a TCP packet is that one or a higher one, behind a statement that asks for TCP. */
export const tcpPortFrom = (which: 'sport' | 'dport', first: number): Statement => ({
  text: `tcp ${which} >= ${first}`,
  expressions: [
    { name: 'payload', base: 'transport', offset: which === 'sport' ? 0 : 2, length: 2, dreg: 1 },
    { name: 'cmp', op: 'gte', sreg: 1, data: first.toString(16).padStart(4, '0') },
  ],
});

/** ICMP_DEST_UNREACH and ICMPV6_DEST_UNREACH, with nft's words. */
const unreachable = {
  4: { text: 'icmp type destination-unreachable', type: 3 },
  6: { text: 'icmpv6 type destination-unreachable', type: 1 },
} as const;

/** An ICMP error of the family: nobody is there. */
export const isUnreachable = (of: Family): Statement => ({
  text: unreachable[of].text,
  expressions: [
    ...protocolIs('icmp', of),
    { name: 'payload', base: 'transport', offset: 0, length: 1, dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: unreachable[of].type.toString(16).padStart(2, '0') },
  ],
});

/** A TCP packet that asks for no connection: if conntrack takes it for the begin of one, it is in mid-stream. */
export const asksForNoConnection: Statement = {
  text: 'tcp flags ! syn',
  expressions: [
    ...protocolIs('tcp'),
    { name: 'payload', base: 'transport', offset: 13, length: 1, dreg: 1 },
    { name: 'bitwise', sreg: 1, dreg: 1, length: 1, mask: '02', xor: '00' },
    { name: 'cmp', op: 'eq', sreg: 1, data: '00' },
  ],
};

/**
 * The bits of a label of connections, 0 to 127, as they lie in a register: a bit map of the host (`nf_conntrack_labels.h`),
 * which is little-endian wherever Node runs.
 */
export function labelHex(bits: readonly number[]): Hex {
  const bytes = Buffer.alloc(16);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  return bytes.toString('hex');
}

/**
 * Of `among`, the label of the connection has these bits and no others. A packet without a connection does not match. Without
 * `among` nft would print what it reads as "any of these bits".
 */
export const labelIs = (bits: readonly number[], among: readonly number[]): Statement => ({
  text: `ct label ${bits.join(',')} / ${among.join(',')}`,
  expressions: [
    { name: 'ct', key: 'label', dreg: 1 },
    { name: 'bitwise', sreg: 1, dreg: 1, length: 16, mask: labelHex(among), xor: labelHex([]) },
    { name: 'cmp', op: 'eq', sreg: 1, data: labelHex(bits) },
  ],
});

/** Adds the bits to the label of the connection, if it has one. */
export const addLabel = (bits: readonly number[]): Statement => ({
  text: `ct label set ${bits.join(' | ')}`,
  expressions: [
    { name: 'immediate', dreg: 1, data: labelHex(bits) },
    { name: 'ct', key: 'label', sreg: 1 },
  ],
});
