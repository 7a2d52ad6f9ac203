import { asEgressError, EgressError } from '../src/base/errors.ts';
import { failure, type Reply } from '../src/cni/reply.ts';
import { writeOut } from './output.ts';
import { tell } from './stderr.ts';

/** Milliseconds that a runtime may leave its pipe full. After that nobody reads the rest. */
const patience = 20_000;

/**
 * The one answer of a call. Returns the exit code: the reply's if its answer came out. Where nothing of it did, the
 * answer is an error; where there is no stdout any more, a line on stderr.
 */
export function answer({ stdout, exitCode }: Reply): number {
  const { left, problem } = writeOut(Buffer.from(stdout), patience);
  if (problem === undefined) return exitCode;
  const error = new EgressError(
    'io-failure',
    `The answer cannot be written to stdout: ${asEgressError(problem).message}`,
  );
  tell(`egress: ${error.message}`);
  if (left === Buffer.byteLength(stdout)) writeOut(Buffer.from(failure(error, undefined).stdout), patience);
  return 1;
}
