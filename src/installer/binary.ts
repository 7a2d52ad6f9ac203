import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { makeFolder, syncFolder } from '../files/file.ts';
import { diagnosis, machineOf, type Trial } from './diagnosis.ts';
import { pluginType } from './entry.ts';
import type { Finding } from './status.ts';

/** The places and tools for installing the binary. */
export interface BinaryTools {
  /** The file to be installed. */
  readonly source: string;
  readonly version: string;
  /** `uname -m` */
  readonly machine: string;
  /** The folder of plugins. Links on the way to it may change, so it is looked up each time. */
  folder(): string;
  /** Runs a file on the host, by its path inside that folder, to ask for its version. */
  try(file: string): Promise<Trial>;
  /** Milliseconds of a clock that does not go back. */
  now(): number;
}

/**
 * A folder of our own inside the folder of plugins. CRI-O asks all plugins for their versions whenever something
 * happens in that folder, but looks into no folder inside; and a rename needs the same file system.
 */
export const stagingIn = (folder: string): string => join(folder, `.${pluginType}`);

/** The binary until it is in its place. */
export const stagedName = `${pluginType}.new`;

/** Milliseconds until a host that could not run the binary is asked again. */
const retry = 30_000;

/** Our binary in the folder of plugins. */
export class Binary {
  readonly #tools: BinaryTools;
  /** The file that the host ran. */
  #good: string | undefined;
  #failure: { readonly finding: Finding; readonly at: number } | undefined;

  constructor(tools: BinaryTools) {
    this.#tools = tools;
  }

  /** Puts the binary in place, if the host can run it. Only for the holder of the lock. */
  async look(): Promise<Finding> {
    const { folder, now, version } = this.#tools;
    const place = join(folder(), pluginType);
    const said = { ok: true, text: `${place} is version ${version}, and the host runs it` };
    if (this.#good !== undefined && this.#good === identity(place)) return said;
    if (this.#failure !== undefined && now() - this.#failure.at < retry) return this.#failure.finding;
    const before = identity(place);
    const fault = await this.#install(place);
    this.#good = fault === undefined ? identity(place) : undefined;
    if (fault === undefined) return before === this.#good ? said : { ...said, done: `put ${place} in place` };
    const finding = { ok: false, text: `the host cannot run ${place}: ${fault}`, lookAgainMs: retry };
    this.#failure = { finding, at: now() };
    return finding;
  }

  /** A binary that works is never replaced by one that does not: the new one is tried before, in the same file system. */
  async #install(place: string): Promise<string | undefined> {
    const folder = this.#tools.folder();
    const staged = join(stagingIn(folder), stagedName);
    rmSync(staged, { force: true }); // left by an installer that was killed
    if (!isInstalled(this.#tools.source, place)) {
      stage(this.#tools.source, staged);
      const fault = await this.#fault(folder, relative(folder, staged));
      if (fault !== undefined) {
        rmSync(staged);
        return fault;
      }
      renameSync(staged, place);
      syncFolder(folder);
    }
    return await this.#fault(folder, pluginType);
  }

  async #fault(folder: string, file: string): Promise<string | undefined> {
    const { version, machine } = this.#tools;
    const trial = await this.#tools.try(file);
    return diagnosis(trial, { version, machine, builtFor: machineOf(beginOf(join(folder, file))) });
  }
}

/** Makes the folder that is ours, and the folder of plugins if there is none. */
export function makeStaging(folder: string): string {
  const staging = stagingIn(folder);
  makeFolder(staging, 0o755);
  return staging;
}

/** A new file: one that is running could not be written to. */
function stage(source: string, staged: string): void {
  copyFileSync(source, staged, constants.COPYFILE_EXCL);
  chmodSync(staged, 0o755);
  const fd = openSync(staged, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function isInstalled(source: string, place: string): boolean {
  const stat = statSync(place, { throwIfNoEntry: false });
  return stat?.isFile() === true && (stat.mode & 0o777) === 0o755 && haveSameBytes(source, place);
}

/** The identity and state of the file at a path; `undefined` when there is none. */
function identity(place: string): string | undefined {
  const stat: Stats | undefined = statSync(place, { throwIfNoEntry: false });
  return stat && [stat.dev, stat.ino, stat.size, stat.mode, stat.mtimeMs, stat.ctimeMs].join();
}

const chunk = 1 << 20;

function haveSameBytes(a: string, b: string): boolean {
  if (statSync(a).size !== statSync(b).size) return false;
  const opened: number[] = [];
  const open = (path: string) => opened[opened.push(openSync(path, 'r')) - 1] ?? 0;
  try {
    const [x, y] = [open(a), open(b)];
    const [p, q] = [Buffer.alloc(chunk), Buffer.alloc(chunk)];
    for (;;) {
      const [n, m] = [readSync(x, p), readSync(y, q)];
      if (n !== m || !p.subarray(0, n).equals(q.subarray(0, m))) return false;
      if (n === 0) return true;
    }
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

function beginOf(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(20);
    return bytes.subarray(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}
