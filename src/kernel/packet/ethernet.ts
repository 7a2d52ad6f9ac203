import type { Mac } from '../../datapath/objects.ts';

/** linux/if_ether.h: ETH_P_*, what an Ethernet frame carries. */
export const etherTypes = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

export type EtherType = (typeof etherTypes)[keyof typeof etherTypes];

/** All stations of the link. */
export const broadcast: Mac = 'ff:ff:ff:ff:ff:ff';

/** The 6 bytes of a MAC address. */
export const macBytes = (mac: Mac): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');

/** The 6 bytes of a MAC address, as text. */
export const macText = (bytes: Buffer): Mac => bytes.toString('hex').replace(/(..)(?=.)/g, '$1:');

/** An Ethernet frame (struct ethhdr). The driver pads it to the 60 bytes of a wire. */
export function ethernetFrame(destination: Mac, source: Mac, etherType: EtherType, payload: Buffer): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(etherType);
  return Buffer.concat([macBytes(destination), macBytes(source), type, payload]);
}
