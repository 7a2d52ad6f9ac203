import { type Address, addressBytes } from '../../base/address.ts';
import type { Mac } from '../../datapath/objects.ts';
import { broadcast, ethernetFrame, etherTypes, macBytes } from './ethernet.ts';

/** linux/if_arp.h: ARPOP_*. */
export const arpOperations = { request: 1, reply: 2 } as const;

/** The MAC address that stands for none in ARP. */
export const nobody: Mac = '00:00:00:00:00:00';

/** A station of a link. */
export interface Station {
  readonly mac: Mac;
  readonly address: Address;
}

/** linux/if_arp.h: struct arphdr for IPv4 over Ethernet, with sender and target, to all stations of the link or to one. */
export function arpFrame(operation: number, sender: Station, target: Station, to: Mac = broadcast): Buffer {
  const header = Buffer.from([0, 1, 0x08, 0x00, 6, 4, 0, operation]);
  const ends = [sender, target].flatMap(({ mac, address }) => [macBytes(mac), addressBytes(address)]);
  return ethernetFrame(to, sender.mac, etherTypes.arp, Buffer.concat([header, ...ends]));
}

/**
 * The frames by which a station knows another one from now on, sent to it alone: a request, by which Linux makes an entry,
 * and a reply, by which it holds the entry for confirmed.
 */
export const introduction = (own: Station, to: Station): readonly Buffer[] => [
  arpFrame(arpOperations.request, own, { mac: nobody, address: to.address }, to.mac),
  arpFrame(arpOperations.reply, own, to, to.mac),
];
