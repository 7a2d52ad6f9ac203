import { contains, type Prefix } from '../../src/base/address.ts';
import type { Packet } from './pcap.ts';
import { world } from './world.ts';

/** The packets towards a range or an address. */
export function packetsTo<P extends Pick<Packet, 'destination'>>(
  packets: readonly P[],
  ...prefixes: readonly Prefix[]
): readonly P[] {
  return packets.filter(({ destination }) => prefixes.some((prefix) => contains(full(prefix), destination)));
}

/** The packets from a range or an address. */
export function packetsFrom<P extends Pick<Packet, 'source'>>(
  packets: readonly P[],
  ...prefixes: readonly Prefix[]
): readonly P[] {
  return packets.filter(({ source }) => prefixes.some((prefix) => contains(full(prefix), source)));
}

const full = (prefix: string): Prefix =>
  prefix.includes('/') ? prefix : `${prefix}/${prefix.includes(':') ? 128 : 32}`;

/** A packet in one line, as a failed assertion shows it. */
export function describePacket({ interface: uplink, protocol, source, destination, destinationPort }: Packet): string {
  return `${uplink} ${protocol} ${source} > ${destination}${destinationPort === undefined ? '' : ` port ${destinationPort}`}`;
}

/**
 * What must never be: packets to the outside that left with another source or by another uplink than the lab's exit
 * has, and packets that left with an address of the cluster. One line for each kind, with how often it was seen.
 *
 * A reset with the exit's address is no packet of a pod: an answer that comes after DEL finds no connection any more,
 * and the node, whose address it is, says so by its own way.
 */
export function leaks(packets: readonly Packet[]): readonly string[] {
  const fromExit = packetsFrom(packets, ...world.exitAddress);
  const rightly = new Set(fromExit.filter((packet) => packet.interface === 'eth1' || packet.ownReset));
  const wrongly = packetsTo(packets, ...world.outside).filter((packet) => !rightly.has(packet));
  return tally([...new Set([...wrongly, ...packetsFrom(packets, ...world.cluster)])].map(describePacket));
}

/** Equal lines once each, with their number behind. */
export function tally(lines: readonly string[]): readonly string[] {
  const groups = Map.groupBy(lines, (line) => line);
  return [...groups].map(([line, all]) => `${line} (${all.length} times)`);
}
