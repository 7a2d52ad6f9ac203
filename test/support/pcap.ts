import { type Address, addressFromBytes } from '../../src/base/address.ts';

/** A packet that left a node, as far as tests look into it. Ports are those of TCP and UDP. */
export interface Packet {
  /** Seconds since 1970. */
  readonly time: number;
  /** The uplink that it left by. */
  readonly interface: string;
  readonly source: Address;
  readonly destination: Address;
  /** `ndp` is the search for neighbours by IPv6, which is ICMP too. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'ndp' | 'other';
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** A TCP reset that the node itself made: what it forwards has one hop less to go. */
  readonly ownReset?: true;
  /** What a packet of the tunnel carries; {@link tunnelPort} tells it. */
  readonly inner?: Inner;
}

/** The packet inside of VXLAN. */
export interface Inner extends Omit<Packet, 'time' | 'interface' | 'inner'> {
  readonly vni: number;
  /** The group of the group policy extension, 0 without one. */
  readonly group: number;
}

/** The UDP port of the tunnel between nodes. */
export const tunnelPort = 4788;

const RST = 0x04;
/** The hops that Linux gives a packet of its own, IPv4 and IPv6 (ip_default_ttl, hop_limit). */
const ownHops = 64;

const fileHeader = 24;
const recordHeader = 16;
const ethernetHeader = 14;
const protocols: Readonly<Record<number, Packet['protocol']>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp' };

/** The IP packets of a capture file as tcpdump writes it on this machine (pcap 2.4, host byte order, Ethernet). */
export function readPcap(file: Buffer, uplink: string): readonly Packet[] {
  const packets: Packet[] = [];
  for (let at = fileHeader; at + recordHeader <= file.length; ) {
    const length = file.readUInt32LE(at + 8);
    const time = file.readUInt32LE(at) + file.readUInt32LE(at + 4) / 1e6;
    const frame = file.subarray(at + recordHeader, at + recordHeader + length);
    packets.push({ time, interface: uplink, ...parsed(frame.subarray(ethernetHeader)) });
    at += recordHeader + length;
  }
  return packets;
}

type Parsed = Omit<Packet, 'time' | 'interface'>;

const isNeighbourDiscovery = (type: number) => type >= 133 && type <= 137;

function parsed(ip: Buffer): Parsed {
  const six = ip.readUInt8(0) >> 4 === 6;
  const [from, to, length] = six ? [8, 24, 16] : [12, 16, 4];
  const payload = ip.subarray(six ? 40 : (ip.readUInt8(0) & 15) * 4);
  const protocol = protocols[ip.readUInt8(six ? 6 : 9)] ?? 'other';
  const [source, destination] = [from, to].map((start) => addressFromBytes(ip.subarray(start, start + length))) as [
    Address,
    Address,
  ];
  if (six && protocol === 'icmp' && isNeighbourDiscovery(payload.readUInt8(0)))
    return { source, destination, protocol: 'ndp' };
  if (protocol !== 'tcp' && protocol !== 'udp') return { source, destination, protocol };
  return {
    source,
    destination,
    protocol,
    sourcePort: payload.readUInt16BE(0),
    destinationPort: payload.readUInt16BE(2),
    ...(protocol === 'tcp' &&
      payload.readUInt8(13) & RST &&
      ip.readUInt8(six ? 7 : 8) === ownHops && { ownReset: true }),
    ...(protocol === 'udp' && payload.readUInt16BE(2) === tunnelPort && { inner: unpacked(payload.subarray(8)) }),
  };
}

/** What is in VXLAN with group policy (include/net/vxlan.h): flags, group, VNI, and an Ethernet frame. */
function unpacked(vxlan: Buffer): Inner {
  const { inner: _, ...packet } = parsed(vxlan.subarray(8 + ethernetHeader));
  return { ...packet, vni: vxlan.readUIntBE(4, 3), group: vxlan.readUInt16BE(2) };
}
