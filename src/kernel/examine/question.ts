import { type Address, familyOf } from '../../base/address.ts';
import type { Mac } from '../../datapath/objects.ts';
import { type EtherType, etherTypes, macBytes } from '../packet/ethernet.ts';
import { ipProtocols } from '../packet/ip.ts';
import { type Claim, claimOfArp, claimOfNeighbour } from '../packet/question.ts';

/** The kind of frame that the answer to a question for an address comes in. */
export const answerType = (address: Address): EtherType => (familyOf(address) === 4 ? etherTypes.arp : etherTypes.ipv6);

/** Ethernet's header, and with it that of IPv6, which tells the next header and the hop limit. */
const ethernetLength = 14;
const ipv6Length = 40;

/** The claim in a frame; undefined when it makes none. */
export function claimIn(frame: Buffer): Claim | undefined {
  if (frame.length < ethernetLength + 8) return undefined;
  if (frame.readUInt16BE(12) === etherTypes.arp) return claimOfArp(frame);
  const packet = frame.subarray(ethernetLength);
  if (packet.readUInt8(6) !== ipProtocols.icmp6) return undefined;
  return claimOfNeighbour(packet.subarray(ipv6Length), packet.readUInt8(7));
}

/** Whether a frame comes from an interface with this MAC address. */
export const isFrom = (frame: Buffer, mac: Mac): boolean => frame.subarray(6, 12).equals(macBytes(mac));
