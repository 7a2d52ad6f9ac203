import { closeSync } from 'node:fs';
import { type Family, familyOf } from '../../base/address.ts';
import type { Echo } from '../../datapath/examiner.ts';
import { openSocket } from '../netlink/libc.ts';
import { ethernetFrame, etherTypes } from '../packet/ethernet.ts';
import { internetChecksum, ipPacket, ipProtocols, transportChecksum } from '../packet/ip.ts';
import { sendFrames, sendPackets } from '../packet/socket.ts';
import { limitWait, receive } from './libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** Milliseconds for the answers to each of two tries. */
const patience = 250;
const tries = 2;
const hops = 64;

/** By family: the types of question and answer (RFC 792, RFC 4443), and the length of the IP header. */
const kinds = {
  4: { domain: AF_INET, protocol: ipProtocols.icmp, request: 8, reply: 0, header: 20, unreachable: 3, noPort: 3 },
  6: { domain: AF_INET6, protocol: ipProtocols.icmp6, request: 128, reply: 129, header: 40, unreachable: 1, noPort: 4 },
} as const;

/** ICMP's own header: type, code, checksum, identifier, sequence number. */
const icmpLength = 8;

/**
 * Sends the packets, and says which of them were answered. One that does not fit where it goes out counts as not
 * answered.
 *
 * @param tunnelIndex of the tunnel's device, for packets into it
 */
export function echo(packets: readonly Echo[], tunnelIndex: number | undefined): boolean[] {
  const id = Math.floor(Math.random() * 0x10000);
  const answered = packets.map(() => false);
  const families = [...new Set(packets.map(({ source }) => familyOf(source)))];
  const sockets = families.map((family) => ({ family, fd: listenTo(family) }));
  try {
    for (let round = 0; round < tries && answered.includes(false); round++) {
      packets.forEach((packet, place) => {
        if (!answered[place]) send(packet, echoPacket(packet, id, place), tunnelIndex);
      });
      for (const { family, fd } of sockets) collect(family, fd, id, answered);
    }
  } finally {
    for (const { fd } of sockets) closeSync(fd);
  }
  return answered;
}

const listenTo = (family: Family): number =>
  openSocket(kinds[family].domain, SOCK_RAW | SOCK_CLOEXEC, kinds[family].protocol);

function send({ tunnel }: Echo, packet: Buffer, tunnelIndex: number | undefined): void {
  try {
    if (tunnel === undefined) sendPackets([packet], 0);
    if (tunnel === undefined || tunnelIndex === undefined) return;
    const type = packet.readUInt8(0) >> 4 === 4 ? etherTypes.ipv4 : etherTypes.ipv6;
    const frame = ethernetFrame(tunnel.destinationMac, tunnel.sourceMac, type, packet);
    sendFrames(tunnelIndex, [frame], tunnel.exitId);
  } catch {
    // Too long (EMSGSIZE), or the device is down: it is not answered.
  }
}

/** Ports that datagrams come from: one for each place. */
const firstPort = (id: number): number => 40_000 + (id % 10_000);

/** A datagram of exactly so many bytes, an even number (RFC 768). */
function datagram({ source, destination, bytes, udpPort = 0 }: Echo, id: number, place: number): Buffer {
  const body = Buffer.alloc(Math.max(icmpLength, bytes - kinds[familyOf(source)].header));
  body.writeUInt16BE(firstPort(id) + place, 0);
  body.writeUInt16BE(udpPort, 2);
  body.writeUInt16BE(body.length, 4);
  const header = { source, destination, protocol: ipProtocols.udp, hops };
  body.writeUInt16BE(transportChecksum(header, body) || 0xffff, 6);
  return ipPacket(header, body);
}

/** A question of exactly so many bytes, an even number. */
export function echoPacket(echo: Echo, id: number, place: number): Buffer {
  if (echo.udpPort !== undefined) return datagram(echo, id, place);
  const { source, destination, bytes } = echo;
  const { protocol, request, header: length } = kinds[familyOf(source)];
  const body = Buffer.alloc(Math.max(icmpLength, bytes - length));
  body.writeUInt8(request, 0);
  body.writeUInt16BE(id, 4);
  body.writeUInt16BE(place, 6);
  const header = { source, destination, protocol, hops };
  body.writeUInt16BE(familyOf(source) === 4 ? internetChecksum(body) : transportChecksum(header, body), 2);
  return ipPacket(header, body);
}

function collect(family: Family, fd: number, id: number, answered: boolean[]): void {
  const end = performance.now() + patience;
  for (let left = patience; left > 0 && answered.includes(false); left = end - performance.now()) {
    limitWait(fd, Math.max(1, Math.ceil(left)));
    const message = receive(fd);
    const place = message && placeOf(family, message, id);
    if (place !== undefined && place < answered.length) answered[place] = true;
  }
}

/** The place of the question that a message answers. Sockets of IPv4 are given the IP header as well (raw(7)). */
function placeOf(family: Family, message: Buffer, id: number): number | undefined {
  const body = family === 4 ? message.subarray((message.readUInt8(0) & 0xf) * 4) : message;
  if (body.length < icmpLength) return undefined;
  const { reply, unreachable, noPort } = kinds[family];
  if (body.readUInt8(0) === reply && body.readUInt16BE(4) === id) return body.readUInt16BE(6);
  const isNoPort = body.readUInt8(0) === unreachable && body.readUInt8(1) === noPort;
  return isNoPort ? placeOfDatagram(family, body.subarray(icmpLength), id) : undefined;
}

/** An error of ICMP holds the begin of the packet that it is about. */
function placeOfDatagram(family: Family, packet: Buffer, id: number): number | undefined {
  const length = family === 4 && packet.length > 0 ? (packet.readUInt8(0) & 0xf) * 4 : kinds[family].header;
  if (packet.length < length + 2) return undefined;
  const place = packet.readUInt16BE(length) - firstPort(id);
  return place >= 0 ? place : undefined;
}
