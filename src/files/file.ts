import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isSystemError } from '../base/errors.ts';

/** The name of a file that is being written. One for each folder is enough: only the holder of the lock writes. */
const temporaryName = '.new';

/** At the place of a file is something without an end or content: a folder, a pipe, a link to itself. */
export class NoFile extends Error {}

/** Bytes; no file of ours comes near it. */
const longestFile = 256 * 1024 * 1024;

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

/** A lock, until it is disposed of. */
export interface HeldLock extends Disposable {
  /** Another process had it of late when this one asked for it: others change things, too, and wait meanwhile. */
  readonly isWanted: boolean;
}

/**
 * Locks an open file, which it names by its path in errors, and releases and closes it with what it returns. Closes it,
 * too, when it throws.
 */
export type LockFile = (fd: number, path: string) => Promise<HeldLock>;

/**
 * Locks a stand-in for a file that cannot be opened for writing: the file itself, opened for reading, or the nearest
 * existing folder above it. Everybody takes the same one. Throws what `lock` throws.
 */
export async function openLockedInstead(path: string, lock: LockFile): Promise<HeldLock> {
  for (let place = path; ; place = dirname(place)) {
    const fd = openInstead(place);
    if (fd !== undefined) return await lock(fd, place);
  }
}

/** `undefined` when it cannot be opened, but something above it may be. */
function openInstead(place: string): number | undefined {
  try {
    return openSync(place, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!isSystemError(error) || place === dirname(place)) throw error;
    return undefined;
  }
}

/** Opens a file, made if there is none, and locks it. Throws what `lock` throws. */
// Not waiting for a reader, should it be a pipe.
export const openLocked = async (path: string, lock: LockFile): Promise<HeldLock> =>
  await lock(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o600), path);

/** The same for a file that is there: a folder that is read-only will do. `undefined` when there is none. */
export async function openLockedIfThere(path: string, lock: LockFile): Promise<HeldLock | undefined> {
  const fd = unlessAbsent(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  return fd === undefined ? undefined : await lock(fd, path);
}

/** Whether somebody holds the lock of a file, by a question about the open file; false when there is none. */
export function isLockedIfThere(path: string, isLocked: (fd: number) => boolean): boolean {
  const fd = unlessAbsent(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  if (fd === undefined) return false;
  try {
    return isLocked(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Puts a text into a file: after a kill or a power loss at any point, the file holds the old text or the new one. Only
 * for the holder of the lock. When it throws, nothing is left beside the file.
 */
export const replaceFile = (path: string, text: string): void => replaceFiles(dirname(path), [[basename(path), text]]);

/**
 * The same for files of a folder, by their names, one after the other: the folder is synced once, which is half of what one takes.
 * What is staged has only to be put in its place.
 */
export function replaceFiles(
  folder: string,
  texts: readonly (readonly [name: string, text: string])[],
  staged?: { put(name: string, text: string, path: string): boolean },
): void {
  for (const [name, text] of texts)
    if (staged?.put(name, text, join(folder, name)) !== true) putInPlace(join(folder, name), text);
  syncFolder(folder);
}

function putInPlace(path: string, text: string): void {
  const temporary = join(dirname(path), temporaryName);
  removeLeftover(dirname(path));
  try {
    writeDurably(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    removeLeftover(dirname(path));
    throw error;
  }
}

/**
 * Puts a text into a file for as long as the machine runs: after a kill it holds the old text or the new one, after a power loss
 * anything. Only for the holder of the lock.
 */
export function replaceForNow(path: string, text: string): void {
  const temporary = join(dirname(path), temporaryName);
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

/** Writes a file that is not there, for its owner alone. Throws `EEXIST` where there is one. */
export function writeDurably(path: string, text: string): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Removes a file, and the temporary file of a killed writer beside it. Only for the holder of the lock. */
export function removeFile(path: string): void {
  removeLeftover(dirname(path));
  // No fsync: a power loss may bring the file back, but nothing in the kernel; the next DEL or GC is content with that.
  rmSync(path, { force: true, recursive: true });
}

/** Removes the temporary file of a killed writer in a folder. Only for the holder of the lock. */
export function removeLeftover(folder: string): void {
  rmSync(join(folder, temporaryName), { force: true, recursive: true });
}

/**
 * The text of a file; `undefined` when there is none. Throws {@link NoFile} for a folder, pipe or device, without
 * waiting for it.
 */
export const readIfThere = (path: string): string | undefined => unlessAbsent(() => readFile(path));

function readFile(path: string): string {
  const fd = openToRead(path);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new NoFile('it is no file');
    if (stat.size > longestFile) throw new NoFile(`it has ${stat.size} bytes`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function openToRead(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    // A socket, a device without a driver; a link to itself.
    if (hasCode(error, 'ENXIO', 'ENODEV', 'ELOOP')) throw new NoFile('it is no file', { cause: error });
    throw error;
  }
}

/** The names of all that is in a folder, temporary files left out; none when there is no folder. */
export const entriesIn = (folder: string): string[] =>
  (unlessAbsent(() => readdirSync(folder)) ?? []).filter((name) => name !== temporaryName);

/** Milliseconds: clocks of file systems may be this coarse. A later change bears another time. */
const settledAfter = 2_000n;

/**
 * A text that tells what is in a file, or the names in a folder and the files that have them, from all that was or will be
 * there; `absent` when there is nothing. `undefined` while that cannot be told: moments after a change. The rule is git's: a
 * change makes another file, another size, or another time of change, which nobody can set. In a folder each file that comes,
 * goes or is replaced ({@link replaceFile}) is a change.
 */
export function stateOf(path: string): string | undefined {
  const stat = unlessAbsent(() => statSync(path, { bigint: true }));
  if (stat === undefined) return absent;
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = stat;
  return ctimeMs > BigInt(Date.now()) - settledAfter ? undefined : [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

/** What {@link stateOf} says where nothing is. */
export const absent = 'absent';

/** Whether anything is at a place, be it a link that leads nowhere. */
export const isThere = (path: string): boolean => unlessAbsent(() => lstatSync(path)) !== undefined;

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
    if (isThere(target)) continue;
    renameSync(path, target);
    return target;
  }
}

/** Removes a folder unless something is in it, which the kernel knows without a list of thousands. */
export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return;
    // A disk that takes no change says so before it looks.
    if (unlessAbsent(() => readdirSync(folder))?.length === 0) throw error;
  }
}

/** Makes renames and removals in a folder survive a power loss. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The result of `read`; `undefined` when the file or folder is absent. Throws the other errors of `read`. */
export function unlessAbsent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

const hasCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(`${error.code}`);
