import { constants, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../src/files/file.ts';
import type { Log } from '../src/node/machine.ts';
import { tell } from './stderr.ts';

/** Loaded only when a log is wanted: pino costs more start-up time than everything else together. */
export const openLog = (file: string, level: string): Promise<Log> => openLogTo(new LogFile(file), level);

/** A log whose lines, each with its line feed, go to whoever takes them. */
export async function openLogTo(lines: { write(line: string): void }, level: string): Promise<Log> {
  const { pino } = await import('pino');
  const log = pino({ level, base: { pid: process.pid } }, lines);
  const debug: Log['debug'] = (fields, message) => log.isLevelEnabled('debug') && log.debug(fields(), message);
  return { debug, info: log.info.bind(log), warn: log.warn.bind(log) };
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
