import { getSystemErrorName } from 'node:util';
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { formatMessage, parseMessages } from 'netlink/dist/structs.js';
import { cString, u32 } from './field.ts';
import { descriptorOfPort, setSocketOption } from './libc.ts';
import { decode } from './wire.ts';

/** Netlink families that we speak (linux/netlink.h). */
export const protocols = { route: 0, netfilter: 12 } as const;

/** Flags of a request (linux/netlink.h, NLM_F_*). */
export const flags = {
  request: 1,
  ack: 4,
  dump: 0x300,
  replace: 0x100,
  excl: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

/** A message to the kernel: its type, its flags beyond REQUEST, and what follows the netlink header. */
export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** A message from the kernel. */
export interface Reply {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** The kernel said no: errno, its name, the place of the request in its batch, and the kernel's own words where it gave some. */
export class KernelError extends Error {
  /** As in errno.h: positive. */
  readonly errno: number;
  /** `ENOENT`, `EEXIST`, … */
  readonly code: string;
  /** Which request of those sent together, from 0. */
  readonly index: number;
  /** The kernel's own words (extended acknowledgement), or an empty text. */
  readonly reason: string;

  constructor(errno: number, index: number, reason: string) {
    const code = errno === ERESTART ? 'ERESTART' : getSystemErrorName(-errno);
    super(reason === '' ? code : `${code}: ${reason}`);
    this.name = 'KernelError';
    this.errno = errno;
    this.code = code;
    this.index = index;
    this.reason = reason;
  }
}

/** Whether the kernel refused, with one of these error names if some are given. */
export const isKernelError = (error: unknown, ...codes: string[]): error is KernelError =>
  error instanceof KernelError && (codes.length === 0 || codes.includes(error.code));

const EINTR = 4;
const ERESTART = 85;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const SOL_SOCKET = 1;
const SOL_NETLINK = 270;
const options = { sendBufferForce: 32, receiveBufferForce: 33, extendedAck: 11, strictCheck: 12 } as const;
/** Ten thousand set elements fit in one batch; the kernel's default of 208 KiB holds about a thousand. */
const bufferBytes = 16 * 1024 * 1024;
/** The kernel makes the messages of a dump as long as what is read into: 4 KiB for a short look first, up to 32 KiB else. */
const messageBytes = 64 * 1024;
/** A dump that others keep changing is read again so often before we give up. */
const dumpTries = 16;
const netlinkHeaderLength = 16;

interface Waiting {
  readonly first: number;
  readonly last: number;
  readonly replies: Reply[];
  resolve(replies: Reply[]): void;
  reject(error: Error): void;
}

/**
 * A netlink socket with the package's framing, extended acknowledgements and strict checking. One exchange at a time:
 * await each call before the next. Close it, or the process does not end.
 */
export class NetlinkSocket {
  readonly #socket: RawNetlinkSocket;
  readonly #port: number;
  /** Answers by their questions, for who looks at many things at once. */
  readonly #remembered: Map<string, Promise<Reply[]>> | undefined;
  #sequence = 1;
  #waiting: Waiting | undefined;

  /** @param remembers whether an answer stands for all times that the same is asked: what changes is not seen any more */
  constructor(protocol: (typeof protocols)[keyof typeof protocols], { remembers = false } = {}) {
    this.#remembered = remembers ? new Map() : undefined;
    this.#socket = new RawNetlinkSocket(protocol, {
      messagePeeking: false,
      msgBufferSize: messageBytes,
      recvBufferSize: bufferBytes,
      sendBufferSize: bufferBytes,
    });
    this.#port = this.#socket.address().port;
    try {
      setOptions(descriptorOfPort(this.#port));
    } catch (error) {
      this.close();
      throw error;
    }
    this.#socket.on('message', (bytes: Buffer) => this.#receive(bytes));
    this.#socket.on('error', (error: Error) => this.#fail(error));
  }

  /** Sends one request and waits for its acknowledgement. Throws {@link KernelError}. */
  request(request: Request): Promise<Reply[]> {
    return this.#once({ ...request, flags: request.flags | flags.ack }, (asked) => this.#exchange([asked]));
  }

  /** Everything that the kernel lists for a request; read again when it changed meanwhile. Throws {@link KernelError}. */
  dump(request: Request): Promise<Reply[]> {
    return this.#once({ ...request, flags: request.flags | flags.dump }, (asked) => this.#dump(asked));
  }

  async #dump(request: Request): Promise<Reply[]> {
    for (let tries = 1; ; tries++) {
      const replies = await this.#exchange([request]);
      if (!replies.some((reply) => reply.flags & NLM_F_DUMP_INTR)) return replies.slice(0, -1);
      if (tries === dumpTries) throw new KernelError(EINTR, 0, 'others keep changing what is listed');
    }
  }

  /** Sends requests together; resolves when the last that asks for it is acknowledged. Throws the first {@link KernelError}. */
  batch(requests: readonly Request[]): Promise<Reply[]> {
    return this.#exchange(requests);
  }

  #once(request: Request, ask: (request: Request) => Promise<Reply[]>): Promise<Reply[]> {
    if (this.#remembered === undefined) return ask(request);
    const question = `${request.type} ${request.flags} ${request.body.toString('latin1')}`;
    const answer = this.#remembered.get(question) ?? ask(request);
    this.#remembered.set(question, answer);
    return answer;
  }

  close(): void {
    this.#socket.close();
  }

  #exchange(requests: readonly Request[]): Promise<Reply[]> {
    if (this.#waiting !== undefined) throw new Error('A netlink exchange is already under way on this socket');
    const first = this.#sequence;
    this.#sequence += requests.length;
    const bytes = requests.flatMap((request, i) => this.#frame(request, first + i));
    return new Promise((resolve, reject) => {
      this.#waiting = { first, last: first + requests.length - 1, replies: [], resolve, reject };
      this.#socket.send(Buffer.concat(bytes), undefined, (error?: Error) => error && this.#fail(error));
    });
  }

  #frame(request: Request, seq: number): Uint8Array[] {
    const padding = Buffer.alloc(-request.body.length & 3);
    return [
      ...formatMessage({
        type: request.type,
        flags: request.flags | flags.request,
        seq,
        port: this.#port,
        data: request.body,
      }),
      padding,
    ];
  }

  #receive(bytes: Buffer): void {
    for (const { type, flags, seq, data } of parseMessages(bytes)) {
      const waiting = this.#waiting;
      if (waiting === undefined || seq < waiting.first || seq > waiting.last) continue;
      const body = data as Buffer;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) this.#settle(waiting, type, flags, seq, body);
      else waiting.replies.push({ type, flags, body });
    }
  }

  #settle(waiting: Waiting, type: number, flags: number, seq: number, body: Buffer): void {
    const errno = body.length >= 4 ? -body.readInt32LE(0) : 0;
    this.#waiting = undefined;
    // The end of a listing is kept: it may say that the listing was disturbed. Of an acknowledgement nothing is left to say.
    const end = type === NLMSG_DONE ? [{ type, flags, body }] : [];
    if (errno === 0) waiting.resolve([...waiting.replies, ...end]);
    else
      waiting.reject(
        new KernelError(errno, seq - waiting.first, flags & NLM_F_ACK_TLVS ? reasonOf(type, flags, body) : ''),
      );
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) waiting.reject(error);
  }
}

function setOptions(fd: number): void {
  setSocketOption(fd, SOL_NETLINK, options.extendedAck, 1);
  setSocketOption(fd, SOL_NETLINK, options.strictCheck, 1);
  setSocketOption(fd, SOL_SOCKET, options.sendBufferForce, bufferBytes);
  setSocketOption(fd, SOL_SOCKET, options.receiveBufferForce, bufferBytes);
}

/** linux/netlink.h, NLMSGERR_ATTR_*: behind the errno, and for an error the request (or its header only). */
const acknowledgement = { message: [1, cString], offset: [2, u32] } as const;

function reasonOf(type: number, messageFlags: number, body: Buffer): string {
  const requestLength = messageFlags & NLM_F_CAPPED ? netlinkHeaderLength : (body.readUInt32LE(4) + 3) & ~3;
  const { message = '' } = decode(acknowledgement, body.subarray(4 + (type === NLMSG_DONE ? 0 : requestLength)));
  return message;
}
