import { type Address, addressBytes, familyOf } from '../../base/address.ts';
import type { Mac } from '../../datapath/objects.ts';
import { arpFrame, arpOperations, nobody } from './arp.ts';
import { ethernetFrame, etherTypes, macBytes } from './ethernet.ts';
import { type IpHeader, ipPacket, ipProtocols, transportChecksum } from './ip.ts';

/**
 * The frames that announce an address at a MAC address to a link, over the neighbours' earlier knowledge. Nobody
 * acknowledges them: a lost one is made good by sending it again, or by the neighbours' own doubts.
 */
export const announcement = (mac: Mac, address: Address): readonly Buffer[] =>
  familyOf(address) === 4 ? gratuitousArp(mac, address) : [unsolicitedAdvertisement(mac, address)];

/**
 * Gratuitous ARP for an IPv4 address, as a request (RFC 5227, 3: an ARP announcement) and as a reply.
 *
 * Both are sent, because some stacks and switches learn only from requests, and others only from replies.
 */
// arping -U -c 1 -I eth1 192.0.2.50; arping -A -c 1 -I eth1 192.0.2.50
export const gratuitousArp = (mac: Mac, address: Address): readonly Buffer[] => [
  arpFrame(arpOperations.request, { mac, address }, { mac: nobody, address }),
  // Linux takes a reply for gratuitous only if its target is the sender in both addresses (arp_is_garp). Others do not
  // replace an entry of the last second (locktime).
  arpFrame(arpOperations.reply, { mac, address }, { mac, address }),
];

const ND_NEIGHBOR_ADVERT = 136;
/** RFC 4861, 4.4: the receiver shall replace its entry. */
const NA_FLAG_OVERRIDE = 0x20;
const ND_OPT_TARGET_LINKADDR = 2;
/** All nodes of the link, and the group of Ethernet that they listen to (RFC 2464, 7). */
const allNodes = { address: 'ff02::1', mac: '33:33:00:00:00:01' } as const;
/** RFC 4861, 7.1.2: with any other number the receiver has to drop it, since a router may have passed it on. */
const ownLink = 255;

/** An unsolicited neighbour advertisement (RFC 4861, 7.2.6) for an IPv6 address, sent from that address. */
// ndsend fd00::50 eth1
export function unsolicitedAdvertisement(mac: Mac, address: Address): Buffer {
  const header = {
    source: address,
    destination: allNodes.address,
    protocol: ipProtocols.icmp6,
    hops: ownLink,
  } satisfies IpHeader;
  const start = Buffer.from([ND_NEIGHBOR_ADVERT, 0, 0, 0, NA_FLAG_OVERRIDE, 0, 0, 0]);
  const option = Buffer.from([ND_OPT_TARGET_LINKADDR, 1, ...macBytes(mac)]);
  const body = Buffer.concat([start, addressBytes(address), option]);
  body.writeUInt16BE(transportChecksum(header, body), 2);
  return ethernetFrame(allNodes.mac, mac, etherTypes.ipv6, ipPacket(header, body));
}
