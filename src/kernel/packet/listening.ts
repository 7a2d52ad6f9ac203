import { closeSync } from 'node:fs';
import { type Address, addressFromBytes } from '../../base/address.ts';
import { addressOf, call } from '../native/calls.ts';
import { bindSocket, openSocket, setSocketBytes, systemError } from '../netlink/libc.ts';
import type { ReadableSockets } from './readable.ts';

const AF_INET6 = 10;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_BINDTODEVICE = 25;

/** A message that came in. */
export interface Received {
  readonly bytes: Buffer;
  /** Of IPv6: whose it is; empty for other sockets, whose messages say so themselves. */
  readonly source: Address;
  /** Of IPv6: the hop limit that it came with; 0 where the kernel did not tell. */
  readonly hops: number;
}

/** An option of a socket: level, name and value; a number is an int. */
export type SocketOption = readonly [level: number, name: number, value: number | Buffer];

/** The kind of a socket, and what it is set to. */
export interface SocketSettings {
  /** AF_*. */
  readonly domain: number;
  /** As socket(2) takes it. */
  readonly protocol: number;
  /** The interface that it hears alone. */
  readonly device?: string;
  readonly options?: readonly SocketOption[];
  /** A struct sockaddr to be bound to. */
  readonly address?: Buffer;
}

/** The longest message that is taken whole: of a longer one the end is lost. */
const longest = 2048;
/** Messages that one call takes, so that a flood leaves time for timers. */
const atOnce = 64;
/** linux/socket.h: struct msghdr on 64 bits. */
const headerLength = 56;
const controlLength = 64;
const nameLength = 28;
const SOL_IPV6 = 41;
const IPV6_HOPLIMIT = 52;
const MSG_DONTWAIT = 0x40;

/** A raw or packet socket that others speak to, without waiting in it. */
export class ListeningSocket implements Disposable {
  readonly #fd: number;
  readonly #readable: Disposable;
  readonly #domain: number;
  readonly #heard: (received: Received) => void;
  readonly #bytes = Buffer.alloc(longest);
  readonly #name = Buffer.alloc(nameLength);
  readonly #control = Buffer.alloc(controlLength);
  readonly #vector = Buffer.alloc(16);
  readonly #header = Buffer.alloc(headerLength);
  #isClosed = false;

  /** Throws an Error with `code`: `EPERM` without CAP_NET_RAW, `ENODEV` without the interface. */
  constructor(sockets: ReadableSockets, settings: SocketSettings, heard: (received: Received) => void) {
    this.#domain = settings.domain;
    this.#heard = heard;
    this.#fd = openSocket(settings.domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, settings.protocol);
    try {
      this.#set(settings);
      this.#prepare();
      this.#readable = sockets.add(this.#fd, () => this.#read());
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  #set({ device, options = [], address }: SocketSettings): void {
    const all: readonly SocketOption[] = [
      ...(device === undefined ? [] : [[SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`)] as const]),
      ...options,
    ];
    for (const [level, name, value] of all) {
      setSocketBytes(this.#fd, level, name, typeof value === 'number' ? int(value) : value);
    }
    if (address !== undefined) bindSocket(this.#fd, address);
  }

  #prepare(): void {
    this.#vector.writeBigUInt64LE(addressOf(this.#bytes), 0);
    this.#vector.writeBigUInt64LE(BigInt(longest), 8);
    this.#header.writeBigUInt64LE(addressOf(this.#name), 0);
    this.#header.writeBigUInt64LE(addressOf(this.#vector), 16);
    this.#header.writeBigUInt64LE(1n, 24);
    this.#header.writeBigUInt64LE(addressOf(this.#control), 32);
  }

  /** The kernel's refusal as its name (`ENETDOWN`, `ENOBUFS`); `undefined` when it was sent. Does not wait. */
  send(bytes: Buffer, address: Buffer): string | undefined {
    if (this.#isClosed) return 'EBADF';
    const sent = call('sendto', this.#fd, bytes, bytes.length, MSG_DONTWAIT, address, address.length);
    return sent < 0 ? systemError('sendto').code : undefined;
  }

  #read(): void {
    for (let i = 0; i < atOnce && !this.#isClosed; i++) {
      const received = this.#receive();
      if (received === undefined) return;
      this.#heard(received);
    }
  }

  /** An error of the interface (ENETDOWN) is told once by the kernel, and is nothing to read. */
  #receive(): Received | undefined {
    this.#header.writeUInt32LE(nameLength, 8);
    this.#header.writeBigUInt64LE(BigInt(controlLength), 40);
    const length = call('recvmsg', this.#fd, this.#header, MSG_DONTWAIT);
    if (length < 0) return undefined;
    const is6 = this.#domain === AF_INET6;
    return {
      bytes: Buffer.from(this.#bytes.subarray(0, length)),
      source: is6 ? addressFromBytes(this.#name.subarray(8, 24)) : '',
      hops: is6 ? hopLimit(this.#control.subarray(0, Number(this.#header.readBigUInt64LE(40)))) : 0,
    };
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#readable[Symbol.dispose]();
    closeSync(this.#fd);
  }
}

/** struct cmsghdr: length, level, type, data; each begins at a multiple of 8. */
function hopLimit(control: Buffer): number {
  for (let at = 0; at + 20 <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at));
    if (control.readInt32LE(at + 8) === SOL_IPV6 && control.readInt32LE(at + 12) === IPV6_HOPLIMIT)
      return control.readInt32LE(at + 16);
    if (length < 16) break;
    at += (length + 7) & ~7;
  }
  return 0;
}

/** A C int. */
export function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}
