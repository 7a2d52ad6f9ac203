import type { Address } from '../base/address.ts';
import type { Packet } from '../policy/terms.ts';

/** The packet as people name it on the command line. */
export function printPacket({ destination, protocol, port }: Packet): string {
  const end = port === undefined ? destination : printEnd(destination, port);
  return protocol === undefined ? end : `${protocol} ${end}`;
}

/** An address with a port, as people write the two. */
export const printEnd = (address: Address, port: number): string =>
  `${address.includes(':') ? `[${address}]` : address}:${port}`;
