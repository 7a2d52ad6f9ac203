import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The name of a file that is being written. One for each folder is enough: only the holder of the lock writes. */
const temporaryName = '.new';

/**
 * Makes a folder, and those above it, with a mode: for their owner's eyes only if none is given. They are there after a
 * power loss, too.
 */
export function makeFolder(folder: string, mode = 0o700): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder), mode);
  makeOneFolder(folder, mode);
  syncFolder(dirname(folder));
}

/** Not with `recursive`: where no folder can be made, as in /proc, Node 24 tries for ever. */
function makeOneFolder(folder: string, mode: number): void {
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    if (!existsSync(folder)) throw error; // else somebody made it at the same time
  }
}

/** Opens a file, made if there is none, and locks it. Its descriptor, whose closing releases the lock. Throws what `lock` throws. */
export const openLocked = (path: string, lock: LockDescriptor): number =>
  locked(openSync(path, 'a', 0o600), path, lock);

/** The same for a file that is there: a folder that is read-only will do. `undefined` when there is none. */
export function openLockedIfThere(path: string, lock: LockDescriptor): number | undefined {
  const fd = unlessAbsent(() => openSync(path, 'r'));
  return fd === undefined ? undefined : locked(fd, path, lock);
}

type LockDescriptor = (fd: number, path: string) => void;

function locked(fd: number, path: string, lock: LockDescriptor): number {
  try {
    lock(fd, path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/**
 * Puts a text into a file: after a kill or a power loss at any point, the file holds the old text or the new one. Only
 * for the holder of the lock.
 */
export function replaceFile(path: string, text: string): void {
  const temporary = join(dirname(path), temporaryName);
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

/** Removes a file, and what a writer that was killed left beside it. Only for the holder of the lock. */
export function removeFile(path: string): void {
  removeLeftover(dirname(path));
  // No fsync: a power loss may bring the file back, but nothing in the kernel; the next DEL or GC is content with that.
  rmSync(path, { force: true, recursive: true });
}

/** Removes what a writer that was killed left in a folder. Only for the holder of the lock. */
export function removeLeftover(folder: string): void {
  rmSync(join(folder, temporaryName), { force: true });
}

/** The text of a file; `undefined` when there is none. */
export const readIfThere = (path: string): string | undefined => unlessAbsent(() => readFileSync(path, 'utf8'));

/** The names of the files in a folder, temporary ones left out; none when there is no folder. */
export function filesIn(folder: string): string[] {
  const entries = unlessAbsent(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  return entries.filter((entry) => entry.isFile() && entry.name !== temporaryName).map((entry) => entry.name);
}

/** Moves a file into a folder, beside those already there: `name.1`, `name.2`, … Returns where it is now. */
export function moveAside(path: string, folder: string): string {
  makeFolder(folder);
  for (let number = 1; ; number++) {
    const target = join(folder, `${basename(path)}.${number}`);
    if (existsSync(target)) continue;
    renameSync(path, target);
    return target;
  }
}

/** Removes a folder unless something is in it. */
export function removeIfEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}

/** Makes what was renamed or removed in a folder last through a power loss. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
