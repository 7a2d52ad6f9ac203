import { closeSync, openSync } from 'node:fs';
import { call } from '../native/calls.ts';
import { setSocketBytes, systemError } from '../netlink/libc.ts';

const CLONE_NEWNET = 0x40000000;

/**
 * Opens something in a new network namespace, which lasts as long as what was opened. The calling thread is there
 * meanwhile and no longer, so `open` must not wait for anything. Throws {@link systemError}: `EPERM` without
 * CAP_SYS_ADMIN.
 */
export function openElsewhere<T>(open: () => T): T {
  const home = openSync('/proc/self/ns/net', 'r');
  try {
    if (call('unshare', CLONE_NEWNET) !== 0) throw systemError('unshare');
    const result = settledAs(open);
    if (call('setns', home, CLONE_NEWNET) !== 0) throw systemError('setns');
    if ('error' in result) throw result.error;
    return result.value;
  } finally {
    closeSync(home);
  }
}

function settledAs<T>(open: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: open() };
  } catch (error) {
    return { error };
  }
}

const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

/** From now on receiving from a socket ends without a message when none came for so long. */
export function limitWait(fd: number, milliseconds: number): void {
  const time = Buffer.alloc(16); // struct timeval
  time.writeBigInt64LE(BigInt(Math.floor(milliseconds / 1000)));
  time.writeBigInt64LE(BigInt((milliseconds % 1000) * 1000), 8);
  setSocketBytes(fd, SOL_SOCKET, SO_RCVTIMEO, time);
}

/** Longer than any packet. */
const longest = 65_536;

/** The next message of a socket; undefined when none came in time, or the wait was broken off. */
export function receive(fd: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(longest);
  const length = call('recvfrom', fd, bytes, bytes.length, 0, null, null);
  return length < 0 ? undefined : bytes.subarray(0, length);
}
