import { closeSync, readdirSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { call, callLater, errno } from '../native/calls.ts';

// System calls that Node has not, by the addon of `native`. `socket`, `bind`, `sendto`, `recvfrom` and others around them: Node
// opens neither netlink nor packet nor raw sockets. `getsockopt`: the package `netlink` does not report losses. `flock`: a lock that
// the kernel releases when its holder dies. `chroot` and `renameat2`: for the installer. `exit_group`: for an end that nothing can fail
// in. `bpf`, and `prlimit64` with it. `madvise`: for processes that run on.

/** setsockopt(2) with an int. Returns whether it succeeded: old kernels lack some options. */
export function setSocketOption(fd: number, level: number, name: number, value: number): boolean {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return call('setsockopt', fd, level, name, bytes, bytes.length) === 0;
}

const SOL_SOCKET = 1;
const SO_MEMINFO = 55;
/** linux/sock_diag.h, SK_MEMINFO_DROPS and SK_MEMINFO_VARS: u32 each. */
const memoryInfo = { drops: 8, values: 9 } as const;

/** How many messages for a socket the kernel has thrown away for want of room (SO_MEMINFO, Linux 4.12). */
export function droppedMessages(fd: number): number {
  const values = Buffer.alloc(4 * memoryInfo.values);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(values.length);
  call('getsockopt', fd, SOL_SOCKET, SO_MEMINFO, values, length);
  return values.readUInt32LE(4 * memoryInfo.drops);
}

const SO_NETNS_COOKIE = 71;

/** The cookie of a socket's network namespace (Linux 5.14): none is given twice. */
export function namespaceOf(fd: number): string | undefined {
  const value = Buffer.alloc(8);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  const isKnown = call('getsockopt', fd, SOL_SOCKET, SO_NETNS_COOKIE, value, length) === 0;
  return isKnown ? value.toString('hex') : undefined;
}

const [SO_RCVTIMEO, SO_SNDTIMEO] = [20, 21];

/** From now on receiving from a socket, connecting and sending end with EAGAIN when nothing came or went for some seconds. */
export function limitWaiting(fd: number, seconds: number): boolean {
  const time = Buffer.alloc(16); // struct timeval
  time.writeBigInt64LE(BigInt(seconds));
  return [SO_RCVTIMEO, SO_SNDTIMEO].every((name) => call('setsockopt', fd, SOL_SOCKET, name, time, time.length) === 0);
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** struct sockaddr_nl: family, pad, port (0 is the kernel's), groups. */
const addressLength = 12;

/** The kernel's, which nobody writes. */
const kernelAddress = Buffer.alloc(addressLength);
kernelAddress.writeUInt16LE(AF_NETLINK);

/** A netlink socket, to be closed with close(2), and its port, which the kernel chose. Throws {@link systemError}. */
export function openNetlink(protocol: number): { readonly fd: number; readonly port: number } {
  const fd = openSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  const isBound = call('bind', fd, kernelAddress, addressLength) === 0;
  const port = isBound ? portOf(fd) : undefined;
  if (port !== undefined) return { fd, port };
  const error = systemError(isBound ? 'getsockname' : 'bind');
  closeSync(fd);
  throw error;
}

/** Sends messages to the kernel by a netlink socket. Throws {@link systemError}. */
export const sendToKernel = (fd: number, bytes: Buffer): void => sendTo(fd, bytes, kernelAddress);

const [MSG_TRUNC, MSG_DONTWAIT] = [0x20, 0x40];
const EINTR = 4;

/** Whom a message is from: written by recvfrom(2), and read before the next call. */
const sender = new Uint32Array(addressLength / 4);
const senderPort = 1;
const senderLength = new Uint32Array(1);

/**
 * Waits for a message of the kernel on a netlink socket, and puts it into the buffer. Returns how long it is, which may
 * be longer than the buffer: then the rest is lost. Messages of other processes are passed over. Throws
 * {@link systemError}.
 */
export const receiveFromKernel = (fd: number, buffer: Buffer): number => receive(fd, buffer, MSG_TRUNC);

/** The same for a message that is there already, without waiting; `undefined` when there is none. */
export function receiveFromKernelIfAny(fd: number, buffer: Buffer): number | undefined {
  try {
    return receive(fd, buffer, MSG_TRUNC | MSG_DONTWAIT);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

function receive(fd: number, buffer: Buffer, flags: number): number {
  for (;;) {
    senderLength[0] = addressLength;
    const length = call('recvfrom', fd, buffer, buffer.length, flags, sender, senderLength);
    if (length >= 0 && sender[senderPort] === 0) return length;
    if (length < 0 && errno() !== EINTR) throw systemError('recvfrom');
  }
}

/** The descriptor of this process's netlink socket with a port number, which the package `netlink` does not tell. */
export function descriptorOfPort(port: number): number {
  // From the highest down: the socket that is asked for was opened last.
  const descriptors = readdirSync('/proc/self/fd')
    .map(Number)
    .sort((a, b) => b - a);
  const found = descriptors.find((fd) => portOf(fd) === port);
  if (found === undefined) throw new Error(`No descriptor for netlink port ${port}`);
  return found;
}

/** getsockname(2) of a netlink socket; undefined for any other descriptor. */
function portOf(fd: number): number | undefined {
  const address = Buffer.alloc(addressLength);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(address.length);
  const known = call('getsockname', fd, address, length) === 0;
  return known && address.readUInt16LE(0) === AF_NETLINK ? address.readUInt32LE(4) : undefined;
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** `EAGAIN`: somebody else has it. `EINTR`: a signal came. Otherwise the name of the error. */
export type LockResult = 'locked' | (string & {});

/** flock(2) for writing, without waiting. */
export const tryFileLock = (fd: number): LockResult =>
  call('flock', fd, LOCK_EX | LOCK_NB) === 0 ? 'locked' : (systemError('flock').code ?? '');

/** Whether somebody holds a file for writing. That is asked with a shared lock, which goes when the file is closed. */
export function isFileLocked(fd: number): boolean {
  if (call('flock', fd, LOCK_SH | LOCK_NB) === 0) return false;
  const error = systemError('flock');
  if (error.code === 'EAGAIN') return true;
  throw error;
}

/**
 * flock(2) for writing: a thread of its own waits until nobody else holds the file, whatever signals come. Nothing ends
 * that wait before; if the descriptor is closed meanwhile, the kernel gives the lock back as soon as it is had.
 */
export function waitForFileLock(fd: number, done: (result: LockResult) => void): void {
  callLater(
    'flock',
    (result) => {
      const { code = '' } = result === 0 ? { code: 'locked' } : systemError('flock');
      if (code === 'EINTR') waitForFileLock(fd, done);
      else done(code);
    },
    fd,
    LOCK_EX,
  );
}

/** Node has no name for it. */
const ENOLCK = 37;

/** The error of the call that just failed, as Node makes them: errno as a negative number, its name, the call. */
export function systemError(syscall: string): NodeJS.ErrnoException {
  const number = -errno();
  const code = number === -ENOLCK ? 'ENOLCK' : getSystemErrorName(number);
  return Object.assign(new Error(`${syscall}: ${code}`), { errno: number, code, syscall });
}

/** socket(2): the descriptor, to be closed with close(2). Throws {@link systemError}. */
export function openSocket(domain: number, type: number, protocol: number): number {
  const fd = call('socket', domain, type, protocol);
  if (fd < 0) throw systemError('socket');
  return fd;
}

/**
 * recvfrom(2) of one message that is there already, without waiting. Returns its length, cut to the buffer's;
 * `undefined` when there is none. Throws {@link systemError}.
 */
export function receiveIfAny(fd: number, buffer: Buffer): number | undefined {
  for (;;) {
    const length = call('recvfrom', fd, buffer, buffer.length, MSG_DONTWAIT, null, null);
    if (length >= 0) return length;
    const error = systemError('recvfrom');
    if (error.code === 'EAGAIN') return undefined;
    if (error.code !== 'EINTR') throw error;
  }
}

/** setsockopt(2) with bytes. Throws {@link systemError}. */
export function setSocketBytes(fd: number, level: number, name: number, value: Buffer): void {
  if (call('setsockopt', fd, level, name, value, value.length) !== 0) throw systemError('setsockopt');
}

/** bind(2) to a struct sockaddr. Throws {@link systemError}. */
export function bindSocket(fd: number, address: Buffer): void {
  if (call('bind', fd, address, address.length) !== 0) throw systemError('bind');
}

/** sendto(2) of one message to a struct sockaddr of its family; waits for room. Throws {@link systemError}. */
export function sendTo(fd: number, bytes: Buffer, address: Buffer): void {
  while (call('sendto', fd, bytes, bytes.length, 0, address, address.length) < 0)
    if (errno() !== EINTR) throw systemError('sendto');
}

/**
 * Ends the process at once: _exit(2). Node's own end, which closes loops and flushes streams, does not run: it could
 * fail or wait, and takes longer even where nothing has to be closed.
 */
export function exitAtOnce(code: number): void {
  call('exit_group', code);
}

/** As C has it. */
const textOf = (text: string): Buffer => Buffer.from(`${text}\0`);

/** chroot(2): from now on `/` is this folder, for this process and its children. Throws {@link systemError}. */
export function changeRoot(folder: string): void {
  if (call('chroot', textOf(folder)) !== 0) throw systemError('chroot');
}

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** renameat2(2): two files take each other's name in one step. Throws {@link systemError}: not every file system can. */
export function exchangeFiles(path: string, other: string): void {
  if (call('renameat2', AT_FDCWD, textOf(path), AT_FDCWD, textOf(other), RENAME_EXCHANGE) !== 0)
    throw systemError('renameat2');
}

/** A signal that arrives while the kernel looks at a program ends that with EAGAIN; it is asked again so often. */
const bpfTries = 10;

/**
 * bpf(2) with a command (linux/bpf.h, BPF_*) and its union bpf_attr. Kernels before 5.11 count programs as locked memory,
 * of which even root may have but little by default: what is refused for that is asked once more without the limit.
 * Returns the descriptor. Throws {@link systemError}.
 */
export function bpf(command: number, attributes: Buffer): number {
  const ask = () => call('bpf', command, attributes, attributes.length);
  let fd = ask();
  for (let tries = 1; fd < 0 && tries < bpfTries && systemError('bpf').code === 'EAGAIN'; tries++) fd = ask();
  if (fd < 0 && systemError('bpf').code === 'EPERM' && unlockMemory()) fd = ask();
  if (fd < 0) throw systemError('bpf');
  return fd;
}

const RLIMIT_MEMLOCK = 8;

function unlockMemory(): boolean {
  const unlimited = Buffer.alloc(16, 0xff); // struct rlimit: both RLIM_INFINITY
  return call('prlimit64', 0, RLIMIT_MEMLOCK, unlimited, null) === 0;
}

const MADV_DONTNEED = 4;

/**
 * madvise(2): the pages from `start` to `end` are not in memory any more, until they are used. Only for files that are mapped and
 * never written. That it cannot be makes no difference.
 */
export function letGo(start: bigint, end: bigint): void {
  call('madvise', Number(start), Number(end - start), MADV_DONTNEED);
}
