import { type Address, addressBytes, familyOf } from '../../base/address.ts';

/** linux/in.h: IPPROTO_*. */
export const ipProtocols = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, vrrp: 112 } as const;

/** The IP header of a packet of ours. */
export interface IpHeader {
  readonly source: Address;
  /** Of the same family as the source. */
  readonly destination: Address;
  /** IPPROTO_*, 0…255. */
  readonly protocol: number;
  /** TTL or hop limit, 0…255. */
  readonly hops: number;
}

/** An IPv4 packet without options (RFC 791), not to be fragmented, or an IPv6 packet without extensions (RFC 8200). */
export const ipPacket = (header: IpHeader, payload: Buffer): Buffer =>
  Buffer.concat([familyOf(header.source) === 4 ? header4(header, payload) : header6(header, payload), payload]);

const DONT_FRAGMENT = 0x4000;

function header4({ source, destination, protocol, hops }: IpHeader, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt8(0x45, 0); // version 4, five words
  bytes.writeUInt16BE(bytes.length + payload.length, 2);
  bytes.writeUInt16BE(DONT_FRAGMENT, 6);
  bytes.writeUInt8(hops, 8);
  bytes.writeUInt8(protocol, 9);
  bytes.set(addressBytes(source), 12);
  bytes.set(addressBytes(destination), 16);
  bytes.writeUInt16BE(internetChecksum(bytes), 10);
  return bytes;
}

function header6({ source, destination, protocol, hops }: IpHeader, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeUInt8(0x60, 0); // version 6
  bytes.writeUInt16BE(payload.length, 4);
  bytes.writeUInt8(protocol, 6);
  bytes.writeUInt8(hops, 7);
  bytes.set(addressBytes(source), 8);
  bytes.set(addressBytes(destination), 24);
  return bytes;
}

/**
 * The checksum of TCP and VRRP over either family and of ICMPv6: over the pseudo-header too (RFC 9293, 3.1; RFC 8200, 8.1). The
 * segment's own checksum has to be 0, and the pseudo-header's length less than 65536.
 */
export function transportChecksum({ source, destination, protocol }: IpHeader, segment: Buffer): number {
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(protocol, 0);
  tail.writeUInt16BE(segment.length, 2);
  return internetChecksum(Buffer.concat([addressBytes(source), addressBytes(destination), tail, segment]));
}

/** RFC 1071: the complement of the ones' complement sum of all words of 16 bits. `bytes` are an even number. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
