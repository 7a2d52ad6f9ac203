import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { EgressError } from '../../base/errors.ts';
import { cString, u32 } from './field.ts';
import { flags, framed, messagesIn, netlinkHeaderLength, type Reply, type Request } from './framing.ts';
import {
  limitWaiting,
  namespaceOf,
  openNetlink,
  receiveFromKernel,
  receiveFromKernelIfAny,
  sendToKernel,
  setSocketOption,
} from './libc.ts';
import { isTurnOver, nextTurn } from './turns.ts';
import { decode } from './wire.ts';

/** Netlink families that we speak (linux/netlink.h). */
export const protocols = { route: 0, netfilter: 12 } as const;

export { flags, type Reply, type Request } from './framing.ts';

/** The kernel said no: errno, its name, the place of the request in its batch, and the kernel's own words where it gave some. */
export class KernelError extends Error {
  /** Positive, as in errno.h. */
  readonly errno: number;
  /** `ENOENT`, `EEXIST`, … */
  readonly code: string;
  /** The place of the request among those sent together, from 0. */
  readonly index: number;
  /** The kernel's own words (extended acknowledgement), or an empty text. */
  readonly reason: string;
  /** What it is where nobody makes something else of it: a look that others disturbed is good for another try. */
  readonly row: 'try-again' | 'kernel-refused';

  constructor(errno: number, index: number, reason: string) {
    const code = errno === ERESTART ? 'ERESTART' : getSystemErrorName(-errno);
    super(reason === '' ? code : `${code}: ${reason}`);
    this.name = 'KernelError';
    this.errno = errno;
    this.code = code;
    this.index = index;
    this.reason = reason;
    this.row = errno === EINTR ? 'try-again' : 'kernel-refused';
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
const membership = 1;
const options = { sendBufferForce: 32, receiveBufferForce: 33, capAck: 10, extendedAck: 11, strictCheck: 12 } as const;
/** Ten thousand set elements fit in one batch; the kernel's default of 208 KiB holds about a thousand. */
const bufferBytes = 16 * 1024 * 1024;
/**
 * The kernel fills the buffer of the reader with each message of a dump: 4 KiB for a short look first, up to 32 KiB
 * else.
 */
const messageBytes = 64 * 1024;
/** A dump that others keep changing is read again so often before we give up. */
const dumpTries = 16;
/** How many requests are sent together: their acknowledgements fit into the kernel's default buffer. */
const together = 128;
/** Seconds without a word from the kernel, which answers before it returns from sendto(2), or never. */
const patience = 30;

/** Requests sent together: the numbers of the first and the last, and the answers so far. */
interface Exchange {
  readonly first: number;
  readonly last: number;
  readonly replies: Reply[];
}

/**
 * A netlink socket with extended acknowledgements and strict checking. It waits in the kernel, not in Node's event
 * loop. The answer is there when a request has been sent, and a loop's io_uring and epoll cannot fail. Close it.
 */
export class NetlinkSocket {
  readonly #descriptor: number;
  readonly #port: number;
  /** Answers by their questions, for a look at many things at once. */
  #remembered: Map<string, Promise<Reply[]>> | undefined;
  readonly #isLook: boolean;
  readonly #buffer = Buffer.allocUnsafeSlow(messageBytes);
  #sequence = 1;
  #isClosed = false;

  /**
   * Throws `io-failure`.
   *
   * @param remembers whether an answer stands for all equal questions: changes are not seen any more
   */
  constructor(protocol: (typeof protocols)[keyof typeof protocols], { remembers = false } = {}) {
    this.#remembered = remembers ? new Map() : undefined;
    this.#isLook = remembers;
    const { fd, port } = explained(() => openNetlink(protocol));
    setOptions(fd);
    [this.#descriptor, this.#port] = [fd, port];
  }

  /**
   * From now on, and from each request that is no question of rtnetlink, an answer stands for all equal questions, until
   * {@link forget}. For who is about to decide: what others change meanwhile they could as well have changed a moment later.
   */
  remember(): void {
    this.#remembered ??= new Map();
  }

  /** Ends {@link remember}. */
  forget(): void {
    if (!this.#isLook) this.#remembered = undefined;
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

  /**
   * Sends requests together that do not depend on one another. For each in its place `undefined`, or why the kernel
   * refused it: the others are carried out all the same.
   */
  async each(requests: readonly Request[]): Promise<(KernelError | undefined)[]> {
    if (isTurnOver()) await this.#letOthersGoOn();
    return this.#together(requests).map((answer) => (answer instanceof KernelError ? answer : undefined));
  }

  /** The same for questions: for each in its place the answer to it, or why the kernel refused it. No listings. */
  async answers(requests: readonly Request[]): Promise<(readonly Reply[] | KernelError)[]> {
    if (isTurnOver()) await this.#letOthersGoOn();
    if (!this.#isLook) return this.#together(requests);
    return await Promise.all(requests.map((request) => this.request(request).catch(asAnswer)));
  }

  #together(requests: readonly Request[]): (readonly Reply[] | KernelError)[] {
    const answers: (readonly Reply[] | KernelError)[] = [];
    for (let at = 0; at < requests.length; at += together) {
      answers.push(...this.#acknowledged(requests.slice(at, at + together)));
    }
    return answers;
  }

  #acknowledged(requests: readonly Request[]): (readonly Reply[] | KernelError)[] {
    const first = this.#send(requests.map((request) => ({ ...request, flags: request.flags | flags.ack })));
    const replies = requests.map((): Reply[] => []);
    const refusals = new Map<number, KernelError | undefined>();
    while (refusals.size < requests.length) {
      for (const { type, flags, sequence, body } of messagesIn(this.#receive())) {
        const index = sequence - first;
        if (type === NLMSG_ERROR && index >= 0 && index < requests.length)
          refusals.set(index, refusalOf(type, flags, index, body));
        else replies[index]?.push({ type, flags, body });
      }
    }
    return replies.map((own, i) => refusals.get(i) ?? own);
  }

  #once(request: Request, ask: (request: Request) => Promise<Reply[]>): Promise<Reply[]> {
    if (this.#remembered === undefined) return ask(request);
    if (!this.#isLook && !isQuestion(request)) {
      this.#remembered.clear();
      return ask(request);
    }
    const question = `${request.type} ${request.flags} ${request.body.toString('latin1')}`;
    const remembered = this.#remembered;
    const answer = remembered.get(question) ?? ask(request);
    remembered.set(question, answer);
    // An error is asked again: what failed once may go well for who takes back what was begun.
    answer.catch(() => remembered.delete(question));
    return answer;
  }

  /** Meanwhile whoever asked may have given up: the number of the socket may be another's then. */
  async #letOthersGoOn(): Promise<void> {
    await nextTurn({ mayRest: this.#isLook }); // who changes something never remembers
    if (this.#isClosed) throw new EgressError('io-failure', 'The netlink socket was closed before it was asked');
  }

  /** A number that no other network namespace has or had since the machine was started; `undefined` where the kernel has none. */
  get namespace(): string | undefined {
    return namespaceOf(this.#descriptor);
  }

  close(): void {
    this.#isClosed = true;
    closeSync(this.#descriptor);
  }

  async #exchange(requests: readonly Request[]): Promise<Reply[]> {
    if (isTurnOver()) await this.#letOthersGoOn();
    const first = this.#send(requests);
    const exchange: Exchange = { first, last: first + requests.length - 1, replies: [] };
    while (!this.#isOver(exchange));
    return exchange.replies;
  }

  /** The number of the first request. */
  #send(requests: readonly Request[]): number {
    const first = this.#sequence;
    this.#sequence += requests.length;
    const bytes = framed(requests, { first, port: this.#port });
    explained(() => sendToKernel(this.#descriptor, bytes));
    return first;
  }

  /** Takes the next that the kernel has sent. Messages left over from an exchange that failed are passed over. */
  #isOver({ first, last, replies }: Exchange): boolean {
    for (const message of messagesIn(this.#receive())) {
      const { type, flags, sequence, body } = message;
      if (sequence < first || sequence > last) continue;
      if (type !== NLMSG_ERROR && type !== NLMSG_DONE) {
        replies.push(message);
        continue;
      }
      requireSuccess(type, flags, sequence - first, body);
      // The end of a listing is kept: it may say that the listing was disturbed. Of an acknowledgement nothing is left to say.
      if (type === NLMSG_DONE) replies.push(message);
      return true;
    }
    return false;
  }

  #receive(): Buffer {
    return this.#received(explained(() => receiveFromKernel(this.#descriptor, this.#buffer)));
  }

  #received(length: number): Buffer {
    if (length <= messageBytes) {
      const bytes = Buffer.allocUnsafe(length);
      this.#buffer.copy(bytes, 0, 0, length);
      return bytes;
    }
    throw new EgressError(
      'io-failure',
      `An answer of the kernel by netlink has ${length} bytes, expected ${messageBytes}`,
    );
  }

  /**
   * From now on the kernel sends what it tells a group, too, for {@link unasked}, and nothing else is to be asked here. What has no room
   * is lost. Returns whether it does.
   */
  join(group: number, roomBytes: number): boolean {
    setSocketOption(this.#descriptor, SOL_SOCKET, options.receiveBufferForce, roomBytes);
    return setSocketOption(this.#descriptor, SOL_NETLINK, membership, group);
  }

  /** What the kernel has told the group that was joined, and nobody took yet, without waiting for more. Throws `io-failure` when something was lost. */
  *unasked(): Generator<Reply> {
    for (;;) {
      const length = explained(() => receiveFromKernelIfAny(this.#descriptor, this.#buffer));
      if (length === undefined) return;
      yield* messagesIn(this.#received(length));
    }
  }
}

/** Types of rtnetlink are new, delete, get and set, in turn. */
const isQuestion = ({ type }: Request): boolean => type % 4 === 2;

function asAnswer(error: unknown): KernelError {
  if (error instanceof KernelError) return error;
  throw error;
}

/** The reason why we cannot speak to the kernel at all, for a person. */
function explained<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    const silence = code === 'EAGAIN' ? ` (no answer within ${patience} seconds)` : '';
    throw new EgressError('io-failure', `The kernel cannot be spoken to by netlink: ${message}${silence}`, {
      cause: error,
    });
  }
}

function requireSuccess(type: number, flags: number, index: number, body: Buffer): void {
  const refusal = refusalOf(type, flags, index, body);
  if (refusal !== undefined) throw refusal;
}

function refusalOf(type: number, flags: number, index: number, body: Buffer): KernelError | undefined {
  const errno = body.length >= 4 ? -body.readInt32LE(0) : 0;
  if (errno === 0) return undefined;
  return new KernelError(errno, index, flags & NLM_F_ACK_TLVS ? reasonOf(type, flags, body) : '');
}

function setOptions(fd: number): void {
  limitWaiting(fd, patience);
  setSocketOption(fd, SOL_NETLINK, options.capAck, 1);
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
