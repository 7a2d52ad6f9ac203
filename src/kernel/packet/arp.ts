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

/** linux/if_arp.h: struct arphdr for IPv4 over Ethernet, with sender and target, to all stations of the link. */
export function arpFrame(operation: number, sender: Station, target: Station): Buffer {
  const header = Buffer.from([0, 1, 0x08, 0x00, 6, 4, 0, operation]);
  const ends = [sender, target].flatMap(({ mac, address }) => [macBytes(mac), addressBytes(address)]);
  return ethernetFrame(broadcast, sender.mac, etherTypes.arp, Buffer.concat([header, ...ends]));
}
