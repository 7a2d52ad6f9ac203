import { withPort } from '../base/address.ts';
import type { Packet } from '../policy/terms.ts';

/** The packet as people name it on the command line. */
export function printPacket({ destination, protocol, port }: Packet): string {
  const end = port === undefined ? destination : withPort(destination, port);
  return protocol === undefined ? end : `${protocol} ${end}`;
}
