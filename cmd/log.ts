import { constants, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../src/files/file.ts';
import type { Log } from '../src/node/machine.ts';
import { tell } from './stderr.ts';

/** Severities, by the numbers that programs for logs of Node know. */
const severities: Readonly<Record<string, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
  silent: Number.POSITIVE_INFINITY,
};

/** A log into a file, from a severity on. */
export const openLog = (file: string, level: string): Log => openLogTo(new LogFile(file), level);

/** A log whose lines, JSON with a line feed each, go to whoever takes them. */
export function openLogTo(lines: { write(line: string): void }, from: string): Log {
  const isWanted = (level: string) => (severities[level] ?? 0) >= (severities[from] ?? 0);
  const write = (level: string, fields: () => object, msg: string) => {
    if (!isWanted(level)) return;
    const head = { level: severities[level], time: Date.now(), pid: process.pid };
    lines.write(`${JSON.stringify({ ...head, ...fields(), msg })}\n`);
  };
  return {
    debug: (fields, message) => write('debug', fields, message),
    info: (fields, message) => write('info', () => fields, message),
    warn: (fields, message) => write('warn', () => fields, message),
  };
}

const { O_WRONLY, O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK } = constants;
/** A FIFO or a terminal that nobody reads is an error with O_NONBLOCK, where else it would be waited for. */
const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK;

/**
 * The file that lines are appended to, opened with the first. A log decides nothing: when it cannot be written, stderr
 * says so once, and from then on lines go nowhere.
 */
class LogFile {
  readonly #path: string;
  #descriptor: number | undefined;
  #isGivenUp = false;

  constructor(path: string) {
    this.#path = path;
  }

  write(line: string): void {
    if (this.#isGivenUp) return;
    try {
      this.#descriptor ??= open(this.#path);
      writeWhole(this.#descriptor, Buffer.from(line));
    } catch (error) {
      this.#isGivenUp = true;
      tell(`egress: logFile ${this.#path} cannot be written, this call goes on without: ${(error as Error).message}`);
    }
  }
}

function open(path: string): number {
  makeFolder(dirname(path), 0o755);
  return openSync(path, flags, 0o666);
}

function writeWhole(descriptor: number, bytes: Buffer): void {
  const written = writeSync(descriptor, bytes);
  if (written === 0) throw new Error('nothing was taken');
  if (written < bytes.length) writeWhole(descriptor, bytes.subarray(written));
}
