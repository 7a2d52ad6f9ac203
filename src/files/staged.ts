import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../base/errors.ts';
import { removeIfEmpty, unlessAbsent, writeDurably } from './file.ts';

/** Milliseconds after which nobody waits any more to put what was staged in its place: who staged it was killed. */
const forgottenAfter = 600_000;

/**
 * Files that wait to be put in their places. To write a file that a power loss does not take needs the disk, which may take
 * milliseconds for each; to put one in its place that is written already does not. So who needs a lock for that stages them before.
 */
export class Staged implements Disposable {
  readonly #place: string;
  readonly #folder: string;
  readonly #texts: ReadonlyMap<string, string>;

  private constructor(place: string, folder: string, texts: ReadonlyMap<string, string>) {
    this.#place = place;
    this.#folder = folder;
    this.#texts = texts;
  }

  /**
   * Writes files by their names, durably, into a folder of its own below `place`, on the same file system as where they shall be.
   * Needs no lock. `undefined` when they cannot be written: a later try tells why. Removes what killed ones left.
   */
  static of(place: string, texts: readonly (readonly [name: string, text: string])[]): Staged | undefined {
    const folder = join(place, crypto.randomUUID());
    const staged = new Staged(place, folder, new Map(texts));
    try {
      removeForgotten(place);
      makePlace(place);
      mkdirSync(folder, { mode: 0o700 });
      for (const [name, text] of texts) writeDurably(join(folder, name), text);
      return staged;
    } catch (error) {
      staged[Symbol.dispose]();
      if (!isSystemError(error)) throw error;
      return undefined;
    }
  }

  /** Puts a file in its place, instead of what is there. False, and nothing is done, when no such file with this text is staged. */
  put(name: string, text: string, path: string): boolean {
    if (this.#texts.get(name) !== text) return false;
    try {
      renameSync(join(this.#folder, name), path);
      return true;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return false; // somebody took it away; or its place takes no file, which is told by who writes it there
    }
  }

  [Symbol.dispose](): void {
    try {
      rmSync(this.#folder, { force: true, recursive: true });
      removeIfEmpty(this.#place);
    } catch (error) {
      if (!isSystemError(error)) throw error; // the disk takes nothing any more; another stager may have come
    }
  }
}

/** Another stager may have made it. Not with `recursive`: where no folder can be made Node 24 tries for ever. */
function makePlace(place: string): void {
  try {
    mkdirSync(place, { mode: 0o700 });
  } catch (error) {
    if (!existsSync(place)) throw error;
  }
}

function removeForgotten(place: string): void {
  for (const name of unlessAbsent(() => readdirSync(place)) ?? []) {
    const age = Date.now() - (unlessAbsent(() => statSync(join(place, name)).ctimeMs) ?? Date.now());
    if (age > forgottenAfter) rmSync(join(place, name), { force: true, recursive: true });
  }
}
