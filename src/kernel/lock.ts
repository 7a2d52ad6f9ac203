import { fstatSync, readFileSync } from 'node:fs';
import { EgressError } from '../base/errors.ts';
import { interruptEachSecond, type LockResult, tryFileLock } from './netlink/libc.ts';

/** Seconds that one and the same process may keep a lock while others wait. What we do with it takes one at most. */
const patience = 20;

/**
 * Waits for a lock on an open file, which close(2) releases, and so the holder's death. Waiting is left to the kernel,
 * which lets in who came first, and lasts as long as others take turns; but a process that keeps the lock for
 * {@link patience} may never give it back (it is stopped, or its cgroup is frozen): `try-again`, which names it.
 * `io-failure` when the file system has no locks.
 *
 * @param path of the file, for errors
 * @param handleAlarms gives SIGALRM a handler, until it is disposed of
 */
export function lockFile(descriptor: number, path: string, handleAlarms: () => Disposable): void {
  if (succeeded(tryFileLock(descriptor, { wait: false }), path)) return;
  using _handler = handleAlarms();
  using _timer = interruptEachSecond();
  let [holder, seconds] = [holderOf(descriptor), 0];
  while (!succeeded(tryFileLock(descriptor, { wait: true }), path)) {
    const now = holderOf(descriptor);
    seconds = now === holder ? seconds + 1 : 0;
    holder = now;
    if (seconds < patience) continue;
    throw new EgressError('try-again', `${path} has been locked for ${seconds} seconds by ${describeProcess(holder)}`);
  }
}

/** Characters of a command line in an error. */
const longestCommand = 200;

/** False when the lock is somebody else's, or the wait was interrupted. */
function succeeded(result: LockResult, path: string): boolean {
  if (result === 'locked') return true;
  if (result === 'EAGAIN' || result === 'EINTR') return false;
  throw new EgressError(
    'io-failure',
    `${path} cannot be locked, flock(2) says ${result}; put the data folder on a file system that has locks`,
  );
}

/** The process that has the lock: proc(5), /proc/locks. `undefined` when it is in another PID namespace, or nobody has it. */
function holderOf(descriptor: number): number | undefined {
  const inode = fstatSync(descriptor).ino;
  const line = new RegExp(`^\\d+: FLOCK +ADVISORY +WRITE (\\d+) [^ ]+:${inode} `, 'm');
  const found = line.exec(readIfPossible('/proc/locks'))?.[1];
  return found === undefined ? undefined : Number(found);
}

function describeProcess(pid: number | undefined): string {
  if (pid === undefined) return 'a process that is not to be seen from here';
  const words = readIfPossible(`/proc/${pid}/cmdline`).split(/[\0\s]+/);
  const command = words.join(' ').trim().slice(0, longestCommand);
  const state = /^State:\s+\S+ \((.*)\)/m.exec(readIfPossible(`/proc/${pid}/status`))?.[1];
  return command === '' ? `process ${pid}, which has ended` : `process ${pid} (${command}, ${state})`;
}

function readIfPossible(file: string): string {
  try {
    return readFileSync(file).toString();
  } catch {
    return '';
  }
}
