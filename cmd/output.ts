import { writeSync } from 'node:fs';

/** Milliseconds between two tries to write into a pipe that is full and does not wait by itself (O_NONBLOCK). */
const pause = 5;

/** How many of the bytes could not be written, and why. */
export interface Written {
  readonly left: number;
  readonly problem?: unknown;
}

/**
 * Writes all bytes to stdout before it returns: a pipe takes 64 KiB at once, and write(2) says how many of a longer text it
 * took. Without Node's event loop, whose own calls may fail.
 *
 * @param patience milliseconds that a reader may leave a pipe full that does not wait by itself
 */
export function writeOut(bytes: Buffer, patience = Number.POSITIVE_INFINITY): Written {
  let left = bytes;
  for (let waited = 0; left.length > 0; ) {
    try {
      left = left.subarray(writeSome(left));
      waited = 0;
    } catch (problem) {
      if (!isFull(problem) || waited >= patience) return { left: left.length, problem };
      sleep(pause);
      waited += pause;
    }
  }
  return { left: 0 };
}

function writeSome(bytes: Buffer): number {
  const count = writeSync(1, bytes);
  if (count === 0) throw new Error('nothing was taken');
  return count;
}

const isFull = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EAGAIN';

const sleep = (milliseconds: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
