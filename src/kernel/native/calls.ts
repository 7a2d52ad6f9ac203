import { arch } from 'node:os';
import { type Given, load, type Native } from './addon.ts';

/** Numbers of the system calls that we make (asm/unistd.h): of x64, and of arm64, which has those of all newer processors. */
const numbers = {
  setsockopt: [54, 208],
  getsockopt: [55, 209],
  getsockname: [51, 204],
  flock: [73, 32],
  socket: [41, 198],
  sendto: [44, 206],
  bind: [49, 200],
  connect: [42, 203],
  recvfrom: [45, 207],
  recvmsg: [47, 212],
  epoll_create1: [291, 20],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  exit_group: [231, 94],
  chroot: [161, 51],
  renameat2: [316, 276],
  bpf: [321, 280],
  prlimit64: [302, 261],
  madvise: [28, 233],
  unshare: [272, 97],
  setns: [308, 268],
} as const;

export type CallName = keyof typeof numbers;

const isOfX64 = arch() === 'x64';

/** The number that this processor's kernel has for a call. */
export const numberOf = (name: CallName): number => numbers[name][isOfX64 ? 0 : 1];

let native: Native | undefined;
/** Of the call that failed last. */
let lastErrno = 0;

/** The addon, from its first use on: the start-up snapshot can hold none. */
const loaded = (): Native => {
  native ??= load();
  return native;
};

/** Has something else make the calls until what it returns is disposed of: for the build, which speaks to no kernel. */
export function callInstead(other: Native): Disposable {
  native = other;
  return {
    [Symbol.dispose]: () => {
      native = undefined;
    },
  };
}

/** Makes a system call. Returns -1 when it fails, and {@link errno} says why. */
export const call = (name: CallName, ...given: readonly Given[]): number =>
  settled(loaded().call(numberOf(name), ...given));

/** The same in a thread of Node's pool, which may wait. `done` has to hold what the kernel writes to. */
export const callLater = (name: CallName, done: (result: number) => void, ...given: readonly Given[]): void =>
  loaded().later((result) => done(settled(result)), numberOf(name), ...given);

/** The error of the call that failed last: a number of errno(3). */
export const errno = (): number => lastErrno;

/** Where bytes lie in memory, for structures that hold pointers. They must live until the call is over. */
export const addressOf = (bytes: Buffer): bigint => BigInt(loaded().address(bytes));

/** malloc_trim(3): freed memory goes back to the kernel. */
export const trimHeap = (): void => loaded().trim();

function settled(result: number): number {
  if (result >= 0) return result;
  lastErrno = -result;
  return -1;
}
