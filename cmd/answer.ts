import { writeSync } from 'node:fs';
import { asEgressError, EgressError } from '../src/base/errors.ts';
import { failure, type Reply } from '../src/cni/reply.ts';
import { tell } from './stderr.ts';

/** Milliseconds between two tries to write into a pipe that is full and does not wait by itself (O_NONBLOCK). */
const pause = 5;
/** Milliseconds that a reader may leave such a pipe full: nobody reads what is left. */
const patience = 20_000;

/**
 * The one answer of a call: all of it is written before this returns, since a runtime's pipe takes 64 KiB at once and a
 * result may be longer. Returns the exit code, which is the reply's only if its answer came out. Where nothing of it did,
 * the answer is an error; where there is no stdout any more, a line on stderr.
 */
export function answer({ stdout, exitCode }: Reply): number {
  const { left, problem } = written(Buffer.from(stdout));
  if (problem === undefined) return exitCode;
  const error = new EgressError(
    'io-failure',
    `The answer cannot be written to stdout: ${asEgressError(problem).message}`,
  );
  tell(`egress: ${error.message}`);
  if (left === Buffer.byteLength(stdout)) written(Buffer.from(failure(error, undefined).stdout));
  return 1;
}

/** Writes as much as can be; how many bytes could not, and why. */
function written(bytes: Buffer): { readonly left: number; readonly problem?: unknown } {
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

/** Without Node's event loop, whose own calls may fail. */
const sleep = (milliseconds: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
