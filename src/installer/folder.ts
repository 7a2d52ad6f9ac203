import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { syncFolder, unlessAbsent } from '../files/file.ts';
import { isNetworkName, type NetworkFile } from './judge.ts';
import type { Step } from './plan.ts';
import { nameBefore } from './wrap.ts';

/**
 * The name of a file while it is written, inside the folder: containerd does not see files that are renamed into it
 * from elsewhere. No runtime reads a file with such a name, and it sorts behind all others. One is enough: only the
 * holder of the lock writes.
 */
const temporaryName = '~egress.new';

/** A file as it was read, by its open descriptor and its state then. Whoever keeps one closes its descriptor. */
export interface Seen extends NetworkFile {
  readonly fd: number;
  readonly stat: Stats;
}

/** Two files take each other's name in one step; throws where the file system cannot. */
export type Exchange = (path: string, other: string) => void;

/** Somebody changed a file between our look and our change: look again. */
export class Overtaken extends Error {
  constructor(path: string) {
    super(`${path} changes faster than egress can be put into it`);
  }
}

/**
 * The folder of network configurations, for one look: its files as they were, and changes to them. Only for the holder
 * of the lock.
 */
export class ConfigurationFolder implements Disposable {
  readonly #path: string;
  readonly #exchange: Exchange;
  readonly #seen: readonly Seen[];
  readonly #displaced: Seen[] = [];

  constructor(path: string, exchange: Exchange) {
    this.#path = path;
    this.#exchange = exchange;
    rmSync(join(path, temporaryName), { force: true }); // left by an installer that was killed
    this.#seen = readAll(path);
  }

  /** Files that runtimes may read, and files put aside. None when there is no folder. */
  get files(): readonly NetworkFile[] {
    return this.#seen;
  }

  /** Makes a change durable. Throws {@link Overtaken} rather than undo a change of somebody else. */
  change(step: Step): void {
    if (step.do === 'write') this.#write(step);
    else {
      this.#requireUnchanged(step.name);
      if (step.do === 'rename') renameSync(join(this.#path, step.name), join(this.#path, step.to));
      else rmSync(join(this.#path, step.name));
    }
    syncFolder(this.#path);
  }

  /**
   * The replaced files. A program that has one open goes on writing to it, though the name is another file's now. They
   * stay open when the folder is disposed of.
   */
  get displaced(): readonly Seen[] {
    return this.#displaced;
  }

  [Symbol.dispose](): void {
    for (const seen of this.#seen) if (!this.#displaced.includes(seen)) closeSync(seen.fd);
  }

  #write({ name, text, like }: Step & { readonly do: 'write' }): void {
    const [path, temporary] = [join(this.#path, name), join(this.#path, temporaryName)];
    const replaced = this.#seen.find((seen) => seen.name === name);
    const model = replaced ?? this.#find(like);
    try {
      writeDurably(temporary, text, model.stat);
      this.#requireUnchanged(model.name);
      if (replaced === undefined) renameSync(temporary, path);
      else this.#replace(path, temporary, replaced);
      if (replaced !== undefined) this.#displaced.push(replaced);
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Puts our text in the place of the file that it was made of, and of no other. */
  #replace(path: string, temporary: string, replaced: Seen): void {
    if (!this.#canExchange(path, temporary)) {
      renameSync(temporary, path);
      return;
    }
    if (isStill(temporary, replaced)) return;
    this.#exchange(path, temporary); // it came after our look, so it is newer than ours
    throw new Overtaken(path);
  }

  #canExchange(path: string, temporary: string): boolean {
    try {
      this.#exchange(path, temporary);
      return true;
    } catch (error) {
      if (isErrno(error, 'EINVAL', 'ENOSYS', 'EOPNOTSUPP')) return false;
      throw isErrno(error, 'ENOENT') ? new Overtaken(path) : error;
    }
  }

  #requireUnchanged(name: string): void {
    const path = join(this.#path, name);
    if (!isStill(path, this.#find(name))) throw new Overtaken(path);
  }

  #find(name: string): Seen {
    const found = this.#seen.find((seen) => seen.name === name);
    if (found === undefined) throw new Error(`${name} was not seen in ${this.#path}`);
    return found;
  }
}

/** All files of a folder, open. Where one cannot be read, none stays open. */
function readAll(folder: string): readonly Seen[] {
  const seen: Seen[] = [];
  try {
    for (const name of namesIn(folder)) seen.push(...readOne(folder, name));
  } catch (error) {
    for (const { fd } of seen) closeSync(fd);
    throw error;
  }
  return seen;
}

function readOne(folder: string, name: string): readonly Seen[] {
  const path = join(folder, name);
  const kind = kindOf(path);
  const fd = kind && unlessAbsent(() => openSync(path, 'r'));
  if (kind === undefined || fd === undefined) return [];
  try {
    return [{ name, kind, text: textOf(fd), fd, stat: fstatSync(fd) }];
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const namesIn = (folder: string): string[] =>
  (unlessAbsent(() => readdirSync(folder)) ?? []).filter(
    (name) => isNetworkName(name) || nameBefore(name) !== undefined,
  );

function kindOf(path: string): NetworkFile['kind'] | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink()) return 'link';
  return stat?.isFile() ? 'file' : undefined;
}

/** Whether a path leads to the file that was seen, with the text that it had then. */
function isStill(path: string, { stat, text }: Seen): boolean {
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now === undefined || now.ino !== stat.ino || now.dev !== stat.dev) return false;
  return readFileSync(path, 'latin1') === text;
}

/** The text of an open file, from its beginning, wherever it was read to before. */
export const textOf = (fd: number): string => readFileSync(`/proc/self/fd/${fd}`, 'latin1');

function writeDurably(path: string, text: string, like: Stats): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(fd, text, 'latin1');
    fchownSync(fd, like.uid, like.gid);
    fchmodSync(fd, like.mode & 0o7777);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const isErrno = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.some((code) => code === error.code);
