import { type Address, addressBytes, addressFromBytes, type Family, familyOf } from '../../base/address.ts';
import type { Advertisement, BadReason, HeardAdvertisement } from '../../election/advertisement.ts';
import { internetChecksum, ipProtocols, transportChecksum } from './ip.ts';

/** Where routers listen (RFC 9568, 5.1.1.2 and 5.1.2.2). */
export const vrrpGroups = { 4: '224.0.0.18', 6: 'ff02::12' } as const;

/** RFC 9568, 5.1.1.3 and 5.1.2.3: with any other number a packet has passed a router, and is dropped. */
export const vrrpHops = 255;

/** VRRP version 3, type ADVERTISEMENT: the only one there is. */
const versionAndType = 0x31;
const headerLength = 8;
const checksumOffset = 6;
/** RFC 9568, 5.2.7: 12 bits. */
const longestInterval = 0xfff;

/** The message of an advertisement that goes from a source to the routers' group. */
export function encodeAdvertisement(advertisement: Advertisement, source: Address): Buffer {
  const { vrid, priority, interval, addresses } = advertisement;
  const header = Buffer.from([versionAndType, vrid, priority, addresses.length, 0, 0, 0, 0]);
  header.writeUInt16BE(interval, 4);
  const message = Buffer.concat([header, ...addresses.map(addressBytes)]);
  message.writeUInt16BE(checksumOf(message, source), checksumOffset);
  return message;
}

/**
 * With a pseudo-header in both families, as RFC 5798 has it. RFC 9568, 5.2.8 leaves it out for IPv4, but routers in use
 * (keepalived, for one) take no other.
 */
const checksumOf = (message: Buffer, source: Address, destination: Address = vrrpGroups[familyOf(source)]): number =>
  transportChecksum({ source, destination, protocol: ipProtocols.vrrp, hops: vrrpHops }, message);

/** A packet of protocol 112 as it came in. */
export interface VrrpPacket {
  readonly source: Address;
  /** Of the same family as the source. */
  readonly destination: Address;
  /** TTL or hop limit, 0…255. */
  readonly hops: number;
  /** What is behind the IP header. */
  readonly message: Buffer;
}

/** The advertisement in a packet, or why it holds none (RFC 9568, 7.1). Whatever the bytes are, it does not throw. */
export function decodeAdvertisement(packet: VrrpPacket): HeardAdvertisement | BadReason {
  const family = familyOf(packet.source);
  const reason = faultOf(packet, family);
  if (reason !== undefined) return reason;
  const { source, message } = packet;
  const [vrid, priority] = [message.readUInt8(1), message.readUInt8(2)];
  return { family, source, vrid, priority, interval: intervalOf(message), addresses: addressesOf(message, family) };
}

function faultOf({ source, destination, hops, message }: VrrpPacket, family: Family): BadReason | undefined {
  if (message.length < headerLength) return 'length';
  if (hops !== vrrpHops) return 'ttl';
  if (message.readUInt8(0) >> 4 !== versionAndType >> 4) return 'version';
  if (message.readUInt8(0) !== versionAndType) return 'type';
  const count = message.readUInt8(3);
  if (message.length !== headerLength + count * bytesOf(family)) return 'length';
  if (!isIntact(message, source, destination)) return 'checksum';
  if (intervalOf(message) === 0) return 'interval';
  return count === 0 || message.readUInt8(1) === 0 ? 'addresses' : undefined;
}

/** Of IPv4 with the pseudo-header and without it: see {@link checksumOf}. */
function isIntact(message: Buffer, source: Address, destination: Address): boolean {
  const said = message.readUInt16BE(checksumOffset);
  const blank = Buffer.from(message);
  blank.writeUInt16BE(0, checksumOffset);
  if (said === checksumOf(blank, source, destination)) return true;
  return familyOf(source) === 4 && said === internetChecksum(blank);
}

const intervalOf = (message: Buffer): number => message.readUInt16BE(4) & longestInterval;

const bytesOf = (family: Family): number => (family === 4 ? 4 : 16);

function addressesOf(message: Buffer, family: Family): readonly Address[] {
  const size = bytesOf(family);
  const count = message.readUInt8(3);
  return Array.from({ length: count }, (_, i) => {
    const start = headerLength + i * size;
    return addressFromBytes(message.subarray(start, start + size));
  });
}

/** Protocol, header and message of an IPv4 packet, as a raw socket gives it; `undefined` when it is none. */
export function packetOf4(bytes: Buffer): VrrpPacket | undefined {
  const length = bytes.length > 0 ? 4 * (bytes.readUInt8(0) & 0xf) : 0;
  if (length < 20 || bytes.length < length) return undefined;
  return {
    source: addressFromBytes(bytes.subarray(12, 16)),
    destination: addressFromBytes(bytes.subarray(16, 20)),
    hops: bytes.readUInt8(8),
    message: bytes.subarray(length),
  };
}
