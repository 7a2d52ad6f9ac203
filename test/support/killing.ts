import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './run.ts';
import { tool } from './tools.ts';

/** Nothing of ours makes as many calls of one kind: a sweep that gets here would never have ended by itself. */
const most = 1500;

/** A system call; with `paths` only those of the main thread that have to do with these files and folders. */
export type SystemCall = string | { readonly name: string; readonly paths: readonly string[] };

function killedAt(syscall: SystemCall, place: number): readonly string[] {
  const { name, paths } = typeof syscall === 'string' ? { name: syscall } : syscall;
  const which = paths === undefined ? ['-f'] : paths.flatMap((path) => ['-P', path]);
  const inject = `inject=${name}:signal=KILL:when=${place}`;
  return [tool('strace'), ...which, '-qq', '-o', '/dev/null', '-e', `trace=${name}`, '-e', inject];
}

const isKilled = ({ code }: Outcome) => code === 137;

/**
 * Makes a call through a command that kills it at the first such system call, then again at a later one, … until one
 * comes through. Returns how often it was killed.
 */
export async function sweep(
  call: (through: readonly string[]) => Promise<Outcome>,
  syscall: SystemCall,
  afterEach: (place: number) => Promise<void>,
  step = 1,
): Promise<number> {
  for (let place = 1; place < most; place += step) {
    const outcome = await call(killedAt(syscall, place));
    await afterEach(place);
    if (!isKilled(outcome)) return (place - 1) / step;
  }
  throw new Error(`Killed ${most} times at ${typeof syscall === 'string' ? syscall : syscall.name}`);
}

/** Calls that change nothing in what they are given; all others are taken to change it. */
const reading = new Set([
  ...['access', 'close', 'execve', 'fcntl', 'flock', 'fstat', 'getdents64', 'lstat', 'mmap', 'newfstatat', 'pread64'],
  ...['read', 'readlink', 'stat', 'statx'],
]);
const isReading = (line: string, name: string): boolean =>
  reading.has(name) || (name === 'openat' && !/\bO_(WRONLY|RDWR|CREAT|TRUNC)\b/.test(line));

/** The system calls by which the main thread of a command changes something below a folder, each with what it changes. */
export async function changesBelow(
  folder: string,
  call: (through: readonly string[]) => Promise<Outcome>,
): Promise<readonly { readonly name: string; readonly paths: readonly string[] }[]> {
  const work = mkdtempSync(join(tmpdir(), `eg-${process.pid}-trace-`));
  try {
    const output = join(work, 'trace');
    const { code, stderr } = await call([tool('strace'), '-qq', '-y', '-z', '-o', output, '-e', 'trace=%file,%desc']);
    if (code !== 0) throw new Error(`A call that is traced ended with exit code ${code}: ${stderr}`);
    return readFileSync(output, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [name = ''] = /^\w+/.exec(line) ?? [];
        const paths = line.match(/[^"<>]+(?=[">])/g)?.filter((path) => path.startsWith(folder)) ?? [];
        return paths.length === 0 || isReading(line, name) ? [] : [{ name, paths }];
      });
  } finally {
    rmSync(work, { recursive: true });
  }
}
