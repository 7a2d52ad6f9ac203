import { closeSync } from 'node:fs';
import { call, errno } from './native/calls.ts';
import { limitWaiting, openSocket, systemError } from './netlink/libc.ts';

const [AF_UNIX, SOCK_STREAM, SOCK_CLOEXEC] = [1, 1, 0o2000000];
const MSG_NOSIGNAL = 0x4000;
const EINTR = 4;
/** Bytes of `sun_path` (unix(7)), with the 0 at its end. */
const pathRoom = 108;
const pieceBytes = 16 * 1024;

/** How long an answer is waited for, and how long it may be. */
export interface AnswerLimits {
  /** Whole seconds to get through, and as many for each part of the answer. */
  readonly seconds: number;
  readonly bytes: number;
}

/**
 * Sends a line to a socket of this machine, and returns the line that it answers. It waits in the kernel, not in Node's event loop, which
 * takes longer to begin than the answer takes to come. Throws an Error that says why there is no answer.
 */
export function askAtSocket(path: string, line: string, limits: AnswerLimits): string {
  const fd = openSocket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  try {
    limitWaiting(fd, limits.seconds);
    connectTo(fd, path, limits);
    send(fd, Buffer.from(line), limits);
    return receiveLine(fd, limits);
  } finally {
    closeSync(fd);
  }
}

/** connect(2) to a struct sockaddr_un. */
function connectTo(fd: number, path: string, limits: AnswerLimits): void {
  const address = Buffer.alloc(2 + pathRoom);
  address.writeUInt16LE(AF_UNIX);
  if (Buffer.byteLength(path) >= pathRoom) throw new Error(`connect ENAMETOOLONG ${path}`);
  address.write(path, 2);
  succeeding(`connect`, path, limits, () => call('connect', fd, address, address.length));
}

function send(fd: number, bytes: Buffer, limits: AnswerLimits): void {
  for (let sent = 0; sent < bytes.length; ) {
    const rest = bytes.subarray(sent);
    sent += succeeding('send', '', limits, () => call('sendto', fd, rest, rest.length, MSG_NOSIGNAL, null, 0));
  }
}

function receiveLine(fd: number, limits: AnswerLimits): string {
  const piece = Buffer.alloc(pieceBytes);
  const began = performance.now();
  let bytes = Buffer.alloc(0);
  while (performance.now() - began < limits.seconds * 1000) {
    const length = succeeding('recv', '', limits, () => call('recvfrom', fd, piece, piece.length, 0, null, null));
    if (length === 0) throw new Error('the connection ended without an answer');
    bytes = Buffer.concat([bytes, piece.subarray(0, length)]);
    const end = bytes.indexOf('\n');
    if (end >= 0) return bytes.toString('utf8', 0, end);
    if (bytes.length > limits.bytes) throw new Error(`more than ${limits.bytes} bytes without an end`);
  }
  throw tooLate(limits);
}

/** What a system call returns, repeated when a signal came. */
function succeeding(name: string, about: string, limits: AnswerLimits, attempt: () => number): number {
  for (;;) {
    const result = attempt();
    if (result >= 0) return result;
    if (errno() === EINTR) continue;
    const { code = '' } = systemError(name);
    throw code === 'EAGAIN' ? tooLate(limits) : new Error([name, code, about].filter(Boolean).join(' '));
  }
}

const tooLate = ({ seconds }: AnswerLimits): Error => new Error(`no answer within ${seconds} s`);
