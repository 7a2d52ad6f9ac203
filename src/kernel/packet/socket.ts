import { closeSync } from 'node:fs';
import { bindSocket, openSocket, sendTo, setSocketOption, systemError } from '../netlink/libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** linux/in.h: a raw socket of this protocol is given its IP headers (IP_HDRINCL), and receives nothing. */
const IPPROTO_RAW = 255;
const SOL_SOCKET = 1;
const SO_MARK = 36;

/**
 * A socket that stays open for many frames. Closing a packet socket waits until no processor looks at it any more
 * (packet_release in net/packet/af_packet.c): that may take tens of milliseconds.
 */
export class FrameSender implements Disposable {
  readonly #fd = openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

  /** Throws as {@link sendFrames}. */
  send(deviceIndex: number, frame: Buffer): void {
    sendTo(this.#fd, frame, linkLayerAddress(deviceIndex, etherTypeOf(frame)));
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/**
 * Sends Ethernet frames out of a device, in their order, with a packet mark if one is given (0…0xffffffff). Nothing is
 * ever received: protocol 0 does not listen. Waits while the socket's send buffer is full. The frames that stand before
 * a refused one have been sent. Throws an Error with `code`: `ENXIO` without such a device, `ENETDOWN` while it is
 * down, `EMSGSIZE`, `ENOBUFS`, `EPERM`.
 */
export function sendFrames(deviceIndex: number, frames: readonly Buffer[], mark?: number): void {
  withRawSocket(AF_PACKET, 0, mark, (fd) => {
    for (const frame of frames) sendTo(fd, frame, linkLayerAddress(deviceIndex, etherTypeOf(frame)));
  });
}

/**
 * Sends IP packets of either family, with a packet mark, through the node's own stack. Routing, conntrack and the hooks
 * `output` and `postrouting` treat them as the node's own packets, with any source. A packet that a rule or a route
 * refuses is lost, as it would be further on. The others are sent. Throws an Error with `code`: `EPERM` without
 * CAP_NET_RAW or CAP_NET_ADMIN, `EAFNOSUPPORT` on a kernel without the family.
 */
export function sendPackets(packets: readonly Buffer[], mark: number): void {
  for (const [version, some] of Map.groupBy(packets, versionOf)) {
    const family = version === 4 ? AF_INET : AF_INET6;
    withRawSocket(family, IPPROTO_RAW, mark, (fd) => {
      for (const packet of some) sendUnlessRefused(fd, packet, destinationOf(packet));
    });
  }
}

const SOCK_DGRAM = 2;

/** What a {@link openListener} is like. */
export interface ListenerOptions {
  /** Whether it reads whole frames, and not only from the IP header on. */
  readonly frames?: true;
  /** Gets it before it can read anything. */
  prepare?(fd: number): void;
}

/**
 * A packet socket that reads what comes in by a device with an EtherType. To be closed with close(2). Throws an Error with
 * `code`: `EPERM`, `ENODEV`.
 */
export function openListener(deviceIndex: number, etherType: number, { frames, prepare }: ListenerOptions): number {
  const fd = openSocket(AF_PACKET, (frames ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
  try {
    prepare?.(fd);
    bindSocket(fd, linkLayerAddress(deviceIndex, etherType));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Sends one message; what is refused is lost. */
export function sendUnlessRefused(fd: number, packet: Buffer, address: Buffer): void {
  try {
    sendTo(fd, packet, address);
  } catch {
    // A firewall (EPERM), no route (ENETUNREACH, EHOSTUNREACH), a full queue (ENOBUFS).
  }
}

function withRawSocket(domain: number, protocol: number, mark: number | undefined, send: (fd: number) => void): void {
  const fd = openSocket(domain, SOCK_RAW | SOCK_CLOEXEC, protocol);
  try {
    // `| 0`: the same 32 bits as the int that setsockopt takes.
    const marked = mark === undefined || setSocketOption(fd, SOL_SOCKET, SO_MARK, mark | 0);
    if (!marked) throw systemError('setsockopt');
    send(fd);
  } finally {
    closeSync(fd);
  }
}

const etherTypeOf = (frame: Buffer): number => frame.readUInt16BE(12);

/**
 * linux/if_packet.h: struct sockaddr_ll with a device and an EtherType, all that a packet socket reads of it; before 5.1
 * kernels did not look for the EtherType in the frame.
 */
export function linkLayerAddress(deviceIndex: number, etherType: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16LE(AF_PACKET, 0);
  bytes.writeUInt16BE(etherType, 2);
  bytes.writeInt32LE(deviceIndex, 4);
  return bytes;
}

const versionOf = (packet: Buffer): number => packet.readUInt8(0) >> 4;

/** Where a packet goes, of either family: routing goes by its header, and by this. */
const destinationOf = (packet: Buffer): Buffer =>
  internetAddress(versionOf(packet) === 4 ? packet.subarray(16, 20) : packet.subarray(24, 40));

/**
 * linux/in.h: struct sockaddr_in, or linux/in6.h: struct sockaddr_in6, for the 4 or 16 bytes of an address.
 *
 * @param port means nothing to raw sockets
 * @param index of the interface that a link-local or multicast address of IPv6 is on
 */
export function internetAddress(address: Uint8Array, { port = 0, index = 0 } = {}): Buffer {
  const is4 = address.length === 4;
  const bytes = Buffer.alloc(is4 ? 16 : 28);
  bytes.writeUInt16LE(is4 ? AF_INET : AF_INET6);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, is4 ? 4 : 8);
  if (!is4) bytes.writeUInt32LE(index, 24);
  return bytes;
}
