import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder, unlessAbsent } from '../src/files/file.ts';
import { isFileLocked, tryFileLock } from '../src/kernel/netlink/libc.ts';

/** Locks a file, which is made if need be, until it is disposed of, or the process ends; `undefined` when somebody has it. */
export function claimFile(path: string): Disposable | undefined {
  makeFolder(dirname(path));
  const descriptor = openSync(path, 'a', 0o600);
  const close = () => closeSync(descriptor);
  if (tryFileLock(descriptor) === 'locked') return { [Symbol.dispose]: close };
  return void close();
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
