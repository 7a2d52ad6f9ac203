import { type Address, addressBytes, addressFromBytes, familyOf } from '../../base/address.ts';
import type { Mac } from '../../datapath/objects.ts';
import { arpFrame, arpOperations, nobody } from './arp.ts';
import { ethernetFrame, etherTypes, macBytes, macText } from './ethernet.ts';
import { type IpHeader, ipPacket, ipProtocols, transportChecksum } from './ip.ts';

/** An address, and the station that says that it has it. */
export interface Claim {
  readonly address: Address;
  readonly mac: Mac;
}

/** This node's station on a segment. */
export interface Station {
  readonly mac: Mac;
  /** Of IPv6: a link-local address of it. Absent: it asks as one that has none yet (RFC 4862, 5.4.2), and all hear the answer. */
  readonly source?: Address;
}

/** The frame that asks a segment who has an address; nobody learns anything of the asker. */
export const question = (station: Station, address: Address): Buffer =>
  familyOf(address) === 4 ? arpProbe(station, address) : solicitation(station, address);

/** RFC 5227, 1.1: an ARP probe, with no sender address. */
// arping -D -c 1 -I eth1 192.0.2.50
const arpProbe = ({ mac }: Station, address: Address): Buffer =>
  arpFrame(arpOperations.request, { mac, address: '0.0.0.0' }, { mac: nobody, address });

/** linux/if_arp.h: struct arphdr for IPv4 over Ethernet, but for the operation, and how long it is with its addresses. */
const arpHeader = Buffer.from([0, 1, 0x08, 0x00, 6, 4, 0]);
const arpLength = 28;

const ND_NEIGHBOR_SOLICIT = 135;
const ND_NEIGHBOR_ADVERT = 136;
const ND_OPT_SOURCE_LINKADDR = 1;
const ND_OPT_TARGET_LINKADDR = 2;
/** RFC 4861, 7.1: what has passed a router counts for nothing. */
const ownLink = 255;

/** RFC 4861, 4.3: a neighbour solicitation to the solicited-node group of an address. */
// ndisc6 -1 fd00::50 eth1
function solicitation({ mac, source = '::' }: Station, address: Address): Buffer {
  const target = Buffer.from(addressBytes(address));
  const last = target.subarray(13);
  const group = Buffer.concat([Buffer.from('ff0200000000000000000001ff', 'hex'), last]);
  const header = {
    ...{ source, destination: addressFromBytes(group) },
    ...{ protocol: ipProtocols.icmp6, hops: ownLink },
  } satisfies IpHeader;
  const option = source === '::' ? Buffer.alloc(0) : Buffer.from([ND_OPT_SOURCE_LINKADDR, 1, ...macBytes(mac)]);
  const body = Buffer.concat([Buffer.from([ND_NEIGHBOR_SOLICIT, 0, 0, 0, 0, 0, 0, 0]), target, option]);
  body.writeUInt16BE(transportChecksum(header, body), 2);
  const station = `33:33:${macText(group.subarray(12))}`;
  return ethernetFrame(station, mac, etherTypes.ipv6, ipPacket(header, body));
}

/** The claim in an Ethernet frame with ARP: whoever answers, asks or announces with an address of its own has it. */
export function claimOfArp(frame: Buffer): Claim | undefined {
  const packet = frame.subarray(14);
  if (packet.length < arpLength || !packet.subarray(0, 7).equals(arpHeader)) return undefined;
  const address = addressFromBytes(packet.subarray(14, 18));
  return address === '0.0.0.0' ? undefined : { address, mac: macText(packet.subarray(8, 14)) };
}

/** The claim in a message of ICMPv6: a neighbour advertisement that names its station (RFC 4861, 4.4). */
export function claimOfNeighbour(message: Buffer, hops: number): Claim | undefined {
  if (hops !== ownLink || message.length < 24 || message.readUInt8(0) !== ND_NEIGHBOR_ADVERT) return undefined;
  for (let at = 24; at + 8 <= message.length; ) {
    const [type, length] = [message.readUInt8(at), 8 * message.readUInt8(at + 1)];
    if (type === ND_OPT_TARGET_LINKADDR)
      return { address: addressFromBytes(message.subarray(8, 24)), mac: macText(message.subarray(at + 2, at + 8)) };
    if (length === 0) return undefined;
    at += length;
  }
  return undefined;
}
