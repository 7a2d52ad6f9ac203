import { closeSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError } from '../base/errors.ts';
import { makeFolder, openLocked, openLockedIfThere, openLockedInstead } from '../files/file.ts';

/** What the lock needs from outside. */
export interface LockSurroundings {
  /** Waits until nobody else holds the open file, then holds it until the descriptor is closed: flock(2). Throws `try-again`. */
  lockFile(fd: number, path: string): void;
  /**
   * Path of one file that everybody who changes this node can open, whatever their data folder. The holder of the
   * folder's lock locks it, too. Without it the folder's lock is the only one.
   */
  readonly nodePath?: string;
  /** Takes a sentence for a person: something is wrong with a file, but the call goes on. */
  warn(message: string): void;
}

/** The lock of a data folder: who changes anything holds it from the first look to the last change. */
export class Lock {
  readonly #path: string;
  readonly #surroundings: LockSurroundings;
  #isHeld = false;

  constructor(path: string, surroundings: LockSurroundings) {
    this.#path = path;
    this.#surroundings = surroundings;
  }

  /** Whether this process holds it to change something. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /**
   * Waits for the lock and holds it until it is disposed of; the kernel takes it back from a process that dies. Whoever
   * holds it already gets an error: waiting for oneself has no end. Throws `try-again` when somebody keeps it for too long.
   */
  hold(): Disposable {
    if (this.#isHeld) throw new Error(`${this.#path} is already held by this process`);
    makeFolder(dirname(this.#path));
    return this.#held(openLocked(this.#path, this.#surroundings.lockFile));
  }

  /**
   * The lock for taking down, which must not depend on the folder. Where the folder cannot be written to, or its lock
   * is no file, a stand-in is held. Throws as {@link hold} does.
   */
  holdToTakeDown(): Disposable {
    try {
      return this.hold();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#surroundings.warn(`${this.#path} cannot be opened: ${error.message}`);
      return this.#held(openLockedInstead(this.#path, this.#surroundings.lockFile));
    }
  }

  /**
   * Keeps others from changing anything while one looks, and gives no right to change anything oneself. `undefined` where
   * there is nothing to wait for: nobody ever locked this store, or this process has the lock. Throws as {@link hold}.
   */
  holdToLook(): Disposable | undefined {
    const fd = this.#isHeld ? undefined : openLockedIfThere(this.#path, this.#surroundings.lockFile);
    return fd === undefined ? undefined : { [Symbol.dispose]: () => closeSync(fd) };
  }

  /** Always the folder first: nobody waits for it who has the node. */
  #held(fd: number): Disposable {
    const node = this.#nodeHeld(fd);
    this.#isHeld = true;
    return {
      [Symbol.dispose]: () => {
        this.#isHeld = false;
        if (node !== undefined) closeSync(node);
        closeSync(fd);
      },
    };
  }

  /** Few have two data folders: that it cannot be opened is no reason to change nothing. */
  #nodeHeld(fd: number): number | undefined {
    const { nodePath, lockFile, warn } = this.#surroundings;
    try {
      return nodePath === undefined ? undefined : openLockedIfThere(nodePath, lockFile);
    } catch (error) {
      if (isSystemError(error)) return void warn(`${nodePath} cannot be opened: ${error.message}`);
      closeSync(fd);
      throw error;
    }
  }
}
