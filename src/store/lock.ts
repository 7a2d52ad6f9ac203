import { dirname } from 'node:path';
import { isSystemError } from '../base/errors.ts';
import {
  type HeldLock,
  isLockedIfThere,
  type LockFile,
  makeFolder,
  openLocked,
  openLockedIfThere,
  openLockedInstead,
} from '../files/file.ts';

/** What the lock needs from outside. */
export interface LockSurroundings {
  /** Waits, and lets the process go on meanwhile, until nobody else holds the open file: flock(2). Throws `try-again`. */
  readonly lockFile: LockFile;
  /**
   * Path of one file that everybody who changes this node can open, whatever their data folder. The holder of the
   * folder's lock locks it, too. Without it the folder's lock is the only one.
   */
  readonly nodePath?: string;
  /** Whether somebody else holds an open file, as {@link lockFile} does. Absent: nobody can tell. */
  isLocked?(fd: number): boolean;
  /** Takes a sentence for a person: something is wrong with a file, but the call goes on. */
  warn(message: string): void;
}

/**
 * The lock of a data folder: who changes anything holds it from the first look to the last change, be it another process or
 * another user of this one. Hold it for one change only, and never ask for it while holding it: that waits for itself, and
 * ends as any other wait for who never gives it back.
 */
export class Lock {
  readonly #path: string;
  readonly #surroundings: LockSurroundings;
  #isHeld = false;
  #isWanted = false;
  /** What was warned of last. */
  #said: string | undefined;

  constructor(path: string, surroundings: LockSurroundings) {
    this.#path = path;
    this.#surroundings = surroundings;
  }

  /** Whether somebody in this process holds it to change something. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Whether another process, or another part of this one, changes something right now. Does not wait. */
  get isHeldByOthers(): boolean {
    const { isLocked } = this.#surroundings;
    if (this.#isHeld || isLocked === undefined) return false;
    try {
      return isLockedIfThere(this.#path, isLocked);
    } catch {
      return false; // a lock that cannot be opened or asked for keeps nobody from anything here
    }
  }

  /** See {@link HeldLock.isWanted}, of the last time that it was held. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /**
   * Waits for the lock and holds it until it is disposed of; the kernel takes it back from a process that dies. Who asked
   * first gets it first. Throws `try-again` when somebody keeps it for too long.
   */
  async hold(): Promise<Disposable> {
    makeFolder(dirname(this.#path));
    return await this.#held(await openLocked(this.#path, this.#surroundings.lockFile));
  }

  /**
   * The lock for taking down and for putting back what is on record, which must not depend on the folder. Where the folder
   * cannot be written to, or its lock is no file, a stand-in is held; that is said once. Throws as {@link hold} does.
   */
  async holdInAnyCase(): Promise<Disposable> {
    try {
      return await this.hold();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#warnOnce(`${this.#path} cannot be opened: ${error.message}`);
      return await this.#held(await openLockedInstead(this.#path, this.#surroundings.lockFile));
    }
  }

  /**
   * Keeps others from changing anything while one looks, and gives no right to change anything oneself. `undefined` where
   * there is nothing to wait for: nobody ever locked this store. Throws as {@link hold} does.
   */
  async holdToLook(): Promise<Disposable | undefined> {
    return await openLockedIfThere(this.#path, this.#surroundings.lockFile);
  }

  #warnOnce(message: string): void {
    if (this.#said !== message) this.#surroundings.warn(message);
    this.#said = message;
  }

  /** Always the folder first: nobody waits for it who has the node. */
  async #held(folder: HeldLock): Promise<Disposable> {
    const node = await this.#nodeHeld(folder);
    this.#isHeld = true;
    this.#isWanted = folder.isWanted;
    return {
      [Symbol.dispose]: () => {
        this.#isHeld = false;
        node?.[Symbol.dispose]();
        folder[Symbol.dispose]();
      },
    };
  }

  /** Few have two data folders: that it cannot be opened is no reason to change nothing. */
  async #nodeHeld(folder: Disposable): Promise<Disposable | undefined> {
    const { nodePath, lockFile, warn } = this.#surroundings;
    try {
      return nodePath === undefined ? undefined : await openLockedIfThere(nodePath, lockFile);
    } catch (error) {
      if (isSystemError(error)) return void warn(`${nodePath} cannot be opened: ${error.message}`);
      folder[Symbol.dispose]();
      throw error;
    }
  }
}
