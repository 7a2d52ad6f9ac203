import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { EgressError } from '../src/base/errors.ts';
import { makeFolder, unlessAbsent } from '../src/files/file.ts';
import { isFileLocked, tryFileLock } from '../src/kernel/netlink/libc.ts';

/**
 * Locks a file, which is made if need be, until it is disposed of, or the process ends; `undefined` when somebody has it. A
 * file that may only be read will do. Throws where it cannot be made or opened, or the file system has no locks.
 */
export function claimFile(path: string): Disposable | undefined {
  const descriptor = openToLock(path);
  const close = () => closeSync(descriptor);
  const result = locked(descriptor);
  if (result === 'locked') return { [Symbol.dispose]: close };
  close();
  if (result === 'EAGAIN') return undefined;
  throw new EgressError('io-failure', `${path} cannot be locked, flock(2) says ${result}`);
}

function openToLock(path: string): number {
  try {
    makeFolder(dirname(path));
    return openSync(path, 'a', 0o600);
  } catch (error) {
    const readable = openIfReadable(path);
    if (readable === undefined) throw error;
    return readable;
  }
}

function openIfReadable(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined; // the other error says more
  }
}

/** A signal may come before the answer. */
function locked(descriptor: number): string {
  for (;;) {
    const result = tryFileLock(descriptor);
    if (result !== 'EINTR') return result;
  }
}

/** Whether somebody has a file of {@link claimFile} locked. Changes nothing. */
export function isClaimed(path: string): boolean {
  const descriptor = unlessAbsent(() => openSync(path, 'r'));
  if (descriptor === undefined) return false;
  try {
    return isFileLocked(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
