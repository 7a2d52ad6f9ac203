import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { EgressError } from '../base/errors.ts';
import type { HeldLock } from '../files/file.ts';
import { type LockResult, tryFileLock, waitForFileLock } from './netlink/libc.ts';

/** Seconds that one and the same holder may keep a lock while others wait. Our own work under it takes one at most. */
const patience = 20;

/**
 * Milliseconds for which a process leaves a lock alone that it gave back: a tenth of those for which it had it, within bounds. The
 * kernel wakes the waiting process, but gives the lock to the first that asks: a process that runs on would always be first. On a
 * busy node it takes a while until the other one runs.
 */
export const pauseAfter = (heldMs: number): number => Math.min(50, Math.max(5, heldMs / 10));

/** Milliseconds for which somebody who asked counts: a runtime starts pods one after the other. */
const wantedMs = 5_000;

/**
 * Locks an open file, flock(2), until what it returns is disposed of, or the process dies. Takes over the descriptor,
 * and closes it in any case.
 *
 * A free lock is taken at once, without a timer or a thread. Otherwise users of this process queue here, in their
 * order. The first of them queues in the kernel, on a thread of its own: timers and sockets of this process go on. The
 * kernel lets in who came first, and a process that gives the lock back has it again after {@link pauseAfter} at the
 * earliest. So a process with many changes and one hold for each delays an ADD by one change at most, each time that
 * the ADD asks. Only earlier users pass that process.
 *
 * Waiting lasts as long as others take turns. But a holder that keeps the lock for {@link patience} may never give it
 * back: it is stopped, its cgroup is frozen, or it waits for itself. That is `try-again`, which names the process.
 * `io-failure` when the file system has no locks.
 *
 * @param path of the file, for errors
 */
export async function lockFile(descriptor: number, path: string): Promise<HeldLock> {
  const queue = queueOf(descriptor);
  try {
    return queue.takeAtOnce(descriptor, path) ?? (await queue.wait(descriptor, path));
  } catch (error) {
    queue.close(descriptor);
    throw error;
  }
}

/** One for each file that this process ever locked, by its device and inode: two paths may lead to one file. */
const queues = new Map<string, Queue>();

/** As if this process had locked nothing before: for the build, whose locks are no other process's. */
export const forgetLocks = (): void => queues.clear();

function queueOf(descriptor: number): Queue {
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  const key = `${dev}:${ino}`;
  const queue = queues.get(key) ?? new Queue();
  queues.set(key, queue);
  return queue;
}

/** A user of this process that waits. */
interface Waiter {
  readonly descriptor: number;
  readonly path: string;
  resolve(held: HeldLock): void;
  reject(error: unknown): void;
}

/** The users of one file in this process: one has the lock, or asks the kernel for it, for all that wait here. */
class Queue {
  readonly #waiters: Waiter[] = [];
  /** How often somebody here has got the lock. */
  #holds = 0;
  #isHeld = false;
  /**
   * The descriptor on which the kernel is asked. It outlives a user that gave up: the next one gets the place in the
   * kernel's queue.
   */
  #asking: number | undefined;
  #pauseUntil: number | undefined;
  /** When another process had it that this one asked for. */
  #wantedAt: number | undefined;

  takeAtOnce(descriptor: number, path: string): HeldLock | undefined {
    if (this.#isHeld || this.#asking !== undefined || this.#pauseLeft() > 0) return undefined;
    return succeeded(this.#try(descriptor), path) ? this.#hold(descriptor) : undefined;
  }

  #try(descriptor: number): LockResult {
    const result = tryFileLock(descriptor);
    if (result === 'EAGAIN') this.#wantedAt = performance.now();
    return result;
  }

  async wait(descriptor: number, path: string): Promise<HeldLock> {
    const { promise, resolve, reject } = Promise.withResolvers<HeldLock>();
    const waiter = { descriptor, path, resolve, reject };
    this.#waiters.push(waiter);
    const watch = this.#endless(waiter);
    this.#ask();
    try {
      return await promise;
    } finally {
      clearInterval(watch);
    }
  }

  /** Closes the descriptor of somebody who has not got the lock. */
  close(descriptor: number): void {
    if (descriptor !== this.#asking) closeSync(descriptor);
  }

  /** Looks each second whether somebody keeps the lock for too long. */
  #endless(waiter: Waiter): NodeJS.Timeout {
    const now = () => ({ process: holderOf(waiter.descriptor), holds: this.#holds });
    let [holder, seconds] = [now(), 0];
    return setInterval(() => {
      const before = holder;
      holder = now();
      seconds = holder.process === before.process && holder.holds === before.holds ? seconds + 1 : 0;
      if (seconds >= patience) this.#refuse(waiter, tooLong(waiter.path, seconds, holder.process));
    }, 1000);
  }

  #refuse(waiter: Waiter, error: unknown): void {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
    waiter.reject(error);
  }

  #ask(): void {
    const [first] = this.#waiters;
    if (first === undefined || this.#isHeld || this.#asking !== undefined) return;
    const { descriptor } = first;
    this.#asking = descriptor;
    const ask = () => {
      if (this.#try(descriptor) === 'locked') this.#answered(descriptor, 'locked');
      else waitForFileLock(descriptor, (result) => this.#answered(descriptor, result));
    };
    const pause = this.#pauseLeft();
    if (pause > 0) setTimeout(ask, pause);
    else ask();
  }

  #answered(descriptor: number, result: LockResult): void {
    this.#asking = undefined;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      closeSync(descriptor);
      return;
    }
    if (result === 'locked') waiter.resolve(this.#hold(descriptor));
    else waiter.reject(noLocks(waiter.path, result));
    // The user that asked may have given up: its descriptor has the lock for the first user of now.
    if (waiter.descriptor !== descriptor) closeSync(result === 'locked' ? waiter.descriptor : descriptor);
    this.#ask();
  }

  #hold(descriptor: number): HeldLock {
    this.#isHeld = true;
    this.#holds++;
    const began = performance.now();
    return {
      isWanted: this.#wantedAt !== undefined && began - this.#wantedAt < wantedMs,
      [Symbol.dispose]: () => {
        closeSync(descriptor);
        this.#isHeld = false;
        const now = performance.now();
        this.#pauseUntil = now + pauseAfter(now - began);
        this.#ask();
      },
    };
  }

  /** Milliseconds. */
  #pauseLeft(): number {
    return this.#pauseUntil === undefined ? 0 : Math.max(0, this.#pauseUntil - performance.now());
  }
}

/** False when the lock is somebody else's, or a signal came. */
function succeeded(result: LockResult, path: string): boolean {
  if (result === 'locked') return true;
  if (result === 'EAGAIN' || result === 'EINTR') return false;
  throw noLocks(path, result);
}

const noLocks = (path: string, result: LockResult) =>
  new EgressError(
    'io-failure',
    `${path} cannot be locked, flock(2) says ${result}; put the data folder on a file system that has locks`,
  );

const tooLong = (path: string, seconds: number, holder: number | undefined) =>
  new EgressError('try-again', `${path} has been locked for ${seconds} seconds by ${describeProcess(holder)}`);

/** The process that has the lock: proc(5), /proc/locks. `undefined` when it is in another PID namespace, or nobody has it. */
function holderOf(descriptor: number): number | undefined {
  const inode = fstatSync(descriptor).ino;
  const line = new RegExp(`^\\d+: FLOCK +ADVISORY +WRITE (\\d+) [^ ]+:${inode} `, 'm');
  const found = line.exec(readIfPossible('/proc/locks'))?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Characters of a command line in an error. */
const longestCommand = 200;

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
