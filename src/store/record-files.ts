import { basename, dirname, join } from 'node:path';
import { EgressError, isSystemError } from '../base/errors.ts';
import { makeFolder, moveAside, removeFile, replaceFiles } from '../files/file.ts';
import { Staged } from '../files/staged.ts';
import type { Kind } from './kinds.ts';
import type { Lock } from './lock.ts';
import { recordVersion } from './migration.ts';
import { readingOf } from './reading.ts';

/** What reading and writing records needs. */
export interface RecordFilesSurroundings {
  /** The folder that the lock is of. */
  readonly folder: string;
  /** Where files go that are no records. */
  readonly broken: string;
  readonly lock: Pick<Lock, 'isHeld'>;
  warn(message: string): void;
}

/** Files of one record each. Anybody reads; who writes holds the lock. */
export class RecordFiles {
  readonly #around: RecordFilesSurroundings;

  constructor(around: RecordFilesSurroundings) {
    this.#around = around;
  }

  /** The record of a file; `undefined` where there is none, or something else: that is moved aside. Throws `record-newer`. */
  read<T>(path: string, kind: Kind<T>): T | undefined {
    const reading = readingOf<T>(kind.form, path);
    if (reading === undefined) return undefined;
    if (reading.kind === 'newer') {
      throw new EgressError(
        'record-newer',
        `${path} has version ${reading.version}, this egress knows ${recordVersion}`,
      );
    }
    if (reading.kind === 'broken') return this.#putAside(path, reading.reason);
    if (kind.fileNameOf(reading.record) !== basename(path))
      return this.#putAside(path, 'it is about another attachment');
    return reading.record;
  }

  /** Writes a record in place of the one before. Durable when it returns. */
  replace<T>(path: string, kind: Kind<T>, record: T): void {
    this.replaceAll(dirname(path), kind, [record]);
  }

  /** The same for records of a folder, one after the other, of which some may be staged. */
  replaceAll<T>(folder: string, kind: Kind<T>, records: readonly T[], staged?: Staged): void {
    this.requireLock();
    makeFolder(folder);
    const texts = textsOf(kind, records);
    for (const [name] of texts) this.read(join(folder, name), kind); // refuses newer records, and moves broken ones aside: neither is overwritten
    replaceFiles(folder, texts, staged);
  }

  /** Writes records into files that wait for the lock, see {@link Staged}. */
  stage<T>(place: string, kind: Kind<T>, records: readonly T[]): Staged | undefined {
    return Staged.of(place, textsOf(kind, records));
  }

  /** Removes a record. */
  remove<T>(path: string, kind: Kind<T>): void {
    this.requireLock();
    this.read(path, kind); // as in replace
    removeFile(path);
  }

  /** Throws for who changes something without the lock. */
  requireLock(): void {
    if (!this.#around.lock.isHeld) throw new Error(`Changing ${this.#around.folder} needs its lock`);
  }

  /** Only for the holder of the lock: between reading and moving, a writer might put a good record in the place. */
  #putAside(path: string, reason: string): undefined {
    const now = this.#around.lock.isHeld ? this.#movedAside(path) : 'left there, this call changes nothing';
    this.#around.warn(`${path} is no record of egress (${reason}); ${now}`);
  }

  #movedAside(path: string): string {
    try {
      return `moved to ${moveAside(path, this.#around.broken)}`;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return `it cannot be moved: ${error.message}`;
    }
  }
}

const textsOf = <T>(kind: Kind<T>, records: readonly T[]) =>
  records.map((record) => [kind.fileNameOf(record), `${JSON.stringify(record, undefined, 2)}\n`] as const);
