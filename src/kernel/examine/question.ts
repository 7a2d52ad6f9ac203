import { type Address, addressBytes, addressFromBytes, familyOf } from '../../base/address.ts';
import type { Mac } from '../../datapath/objects.ts';
import { arpFrame, arpOperations, nobody } from '../packet/arp.ts';
import { type EtherType, ethernetFrame, etherTypes, macBytes } from '../packet/ethernet.ts';
import { type IpHeader, ipPacket, ipProtocols, transportChecksum } from '../packet/ip.ts';

/** Who says that it has an address. */
export interface Claim {
  readonly address: Address;
  readonly mac: Mac;
}

/** The frame that asks a link who has an address, in a way that nobody learns anything from. */
// arping -D -I eth1 192.0.2.50; ndisc6 -s :: 2001:db8::50 eth1
export const questionFor = (mac: Mac, address: Address): Buffer =>
  familyOf(address) === 4 ? probe(mac, address) : solicitation(mac, address);

/** The kind of frame that the answer comes in. */
export const answerType = (address: Address): EtherType => (familyOf(address) === 4 ? etherTypes.arp : etherTypes.ipv6);

/** An ARP probe (RFC 5227, 1.1): its sender has no address yet, so that no cache changes. */
const probe = (mac: Mac, address: Address): Buffer =>
  arpFrame(arpOperations.request, { mac, address: '0.0.0.0' }, { mac: nobody, address });

const ND_NEIGHBOR_SOLICIT = 135;
const ND_NEIGHBOR_ADVERT = 136;
/** RFC 4861, 7.1.1: with any other number the receiver has to drop it. */
const ownLink = 255;

/**
 * The neighbour solicitation that looks for a duplicate address (RFC 4862, 5.4.2): from nobody, to the address's group,
 * without an option. Its answer goes to all nodes of the link.
 */
function solicitation(mac: Mac, address: Address): Buffer {
  const tail = Buffer.from(addressBytes(address)).subarray(13);
  const group = Buffer.concat([Buffer.from('ff0200000000000000000001ff', 'hex'), tail]);
  const header = {
    source: '::',
    destination: addressFromBytes(group),
    protocol: ipProtocols.icmp6,
    hops: ownLink,
  } satisfies IpHeader;
  const body = Buffer.concat([Buffer.from([ND_NEIGHBOR_SOLICIT, 0, 0, 0, 0, 0, 0, 0]), addressBytes(address)]);
  body.writeUInt16BE(transportChecksum(header, body), 2);
  const groupMac = `33:33:${macText(group.subarray(12))}`;
  return ethernetFrame(groupMac, mac, etherTypes.ipv6, ipPacket(header, body));
}

/** The claim in a frame; undefined when it makes none. */
export function claimIn(frame: Buffer): Claim | undefined {
  if (frame.length < 42) return undefined;
  return frame.readUInt16BE(12) === etherTypes.arp ? claimOfArp(frame.subarray(14)) : claimOfAdvert(frame);
}

/** linux/if_arp.h: struct arphdr for IPv4 over Ethernet: the sender of a reply, and of a request that has an address. */
function claimOfArp(packet: Buffer): Claim | undefined {
  const [mac, address] = [macText(packet.subarray(8, 14)), addressFromBytes(packet.subarray(14, 18))];
  return address === '0.0.0.0' ? undefined : { address, mac };
}

const ipv6Length = 40;

/** RFC 4861, 4.4. Without the option of the target's MAC address that of the frame is the sender's. */
function claimOfAdvert(frame: Buffer): Claim | undefined {
  const packet = frame.subarray(14);
  const body = packet.subarray(ipv6Length);
  if (packet.readUInt8(6) !== ipProtocols.icmp6 || body.length < 24 || body.readUInt8(0) !== ND_NEIGHBOR_ADVERT) {
    return undefined;
  }
  return { address: addressFromBytes(body.subarray(8, 24)), mac: macText(frame.subarray(6, 12)) };
}

const macText = (bytes: Buffer): Mac => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');

/** Whether a frame comes from an interface with this MAC address. */
export const isFrom = (frame: Buffer, mac: Mac): boolean => frame.subarray(6, 12).equals(macBytes(mac));
