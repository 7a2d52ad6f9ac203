import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';

const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;

const chunk = 64 * 1024;
/** Bytes that one reading takes at most; what is left is for the next. */
const most = 16 * 1024 * 1024;
/** Bytes of a line; a longer one is passed over. */
const longestLine = 1024 * 1024;

interface Opened {
  readonly descriptor: number;
  readonly ino: number;
  offset: number;
}

interface Reading {
  readonly lines: string[];
  /** Nothing is left to be read now. */
  readonly isAtEnd: boolean;
}

/**
 * Reads the lines that others add to a file, from now on; rotated as logrotate does it, by a new file or by one that is
 * cut off. Only a regular file is followed: what is read from a pipe is taken from another reader.
 */
export class FollowedFile {
  readonly #path: string;
  #opened: Opened | undefined;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
    this.#opened = this.#open('end');
  }

  /** Whether there is a file that can be read. */
  get isOpen(): boolean {
    return this.#opened !== undefined;
  }

  /** Whole lines that were not read yet. Of a file that cannot be read there are none; it is tried again the next time. */
  lines(): string[] {
    this.#opened ??= this.#open('begin');
    if (this.#opened === undefined) return [];
    const { lines, isAtEnd } = this.#readable(this.#opened);
    // What is left of a file that is another one's now comes with the next reading.
    if (!isAtEnd || inodeOf(this.#path) === this.#opened?.ino) return lines;
    this[Symbol.dispose]();
    this.#opened = this.#open('begin');
    return this.#opened === undefined ? lines : [...lines, ...this.#readable(this.#opened).lines];
  }

  /** A file system may lose a file that is open. */
  #readable(opened: Opened): Reading {
    try {
      return this.#read(opened);
    } catch {
      this[Symbol.dispose]();
      return { lines: [], isAtEnd: false };
    }
  }

  #open(from: 'begin' | 'end'): Opened | undefined {
    try {
      if (!statSync(this.#path).isFile()) return undefined;
      const descriptor = openSync(this.#path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
      const { ino, size } = fstatSync(descriptor);
      return { descriptor, ino, offset: from === 'end' ? size : 0 };
    } catch {
      return undefined;
    }
  }

  #read(opened: Opened): Reading {
    const { size } = fstatSync(opened.descriptor);
    if (size < opened.offset) opened.offset = 0;
    const buffer = Buffer.alloc(chunk);
    const lines: string[] = [];
    for (let taken = 0; taken < most; ) {
      const count = readSync(opened.descriptor, buffer, 0, chunk, opened.offset);
      if (count === 0) return { lines, isAtEnd: true };
      opened.offset += count;
      taken += count;
      for (const line of this.#split(buffer.subarray(0, count))) lines.push(line);
    }
    return { lines, isAtEnd: false };
  }

  /** Lines that end in these bytes; what follows the last of them is kept. */
  #split(bytes: Buffer): string[] {
    const all = Buffer.concat([this.#rest, bytes]);
    const end = all.lastIndexOf('\n');
    this.#rest = all.length - end > longestLine ? Buffer.alloc(0) : Buffer.from(all.subarray(end + 1));
    return end < 0 ? [] : all.subarray(0, end).toString().split('\n');
  }

  [Symbol.dispose](): void {
    if (this.#opened !== undefined) closeSync(this.#opened.descriptor);
    this.#opened = undefined;
    this.#rest = Buffer.alloc(0);
  }
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}
