import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './run.ts';
import { tool } from './tools.ts';

/** Nothing of ours makes as many calls of one kind: a sweep that gets here would never have ended by itself. */
const most = 1500;

/** A system call; with `paths` only those of the main thread that have to do with these files and folders. */
export type SystemCall = string | { readonly name: string; readonly paths: readonly string[] };

/** Puts a command before a call by which a signal comes to it at such a system call. */
export function signalledAt(signal: 'KILL' | 'INT', syscall: SystemCall, place: number): readonly string[] {
  const { name, paths } = typeof syscall === 'string' ? { name: syscall } : syscall;
  const which = paths === undefined ? ['-f'] : paths.flatMap((path) => ['-P', path]);
  const inject = `inject=${name}:signal=${signal}:when=${place}`;
  return [tool('strace'), ...which, '-qq', '-o', '/dev/null', '-e', `trace=${name}`, '-e', inject];
}

const killedAt = (syscall: SystemCall, place: number) => signalledAt('KILL', syscall, place);

const isKilled = ({ code }: Outcome) => code === 137;

type Call = (through: readonly string[]) => Promise<Outcome>;

/** Whether sweeps of requests take every one, which takes much longer and finds the same. */
const isEachSwept = process.env.EGRESS_KILLS === 'all';

/**
 * Makes a call that comes through, then the same through a command that kills it at its first request to the kernel, then
 * at a later one, … A kill comes before the request: after one that only asks it would leave what the kill before it left,
 * so there is none, unless files were changed meanwhile. Of the other places every `step`th is taken; with
 * `EGRESS_KILLS=all` there is a kill at each request. `afterEach` gets the request, and how many kills there were.
 * Returns how often the call was killed.
 */
export async function sweepRequests(
  call: Call,
  afterEach: (place: number, kills: number) => Promise<void>,
  step = 1,
): Promise<number> {
  if (isEachSwept) return sweep(call, 'sendto', afterEach);
  const places = placesAfterChanges(await traced(call, ['-f', '-y', '-e', 'trace=sendto,write,ftruncate,%file']));
  await afterEach(0, 0);
  const taken = places.filter((_, i) => i % step === 0);
  for (const [i, place] of taken.entries()) {
    const outcome = await call(killedAt('sendto', place));
    await afterEach(place, i + 1);
    // One that waits for something asks less often when that comes sooner.
    if (!isKilled(outcome)) return i;
  }
  return taken.length;
}

/**
 * Some of the requests of a call that comes through before which it has changed something, spread over all of it; each of them
 * with `EGRESS_KILLS=all`.
 */
export async function placesIn(call: Call, count: number): Promise<readonly number[]> {
  const places = placesAfterChanges(await traced(call, ['-f', '-y', '-e', 'trace=sendto,write,ftruncate,%file']));
  if (isEachSwept || places.length <= count) return places;
  return Array.from({ length: count }, (_, i) => places[Math.floor(((i + 0.5) * places.length) / count)] ?? 1);
}

/** Requests of netlink that only ask. */
const asking = /\bnlmsg_type=(RTM_GET|NFNL_SUBSYS_\w+<<8\|(NFT_MSG_GET|IPCTNL_MSG_CT_GET,))/;

/** Which of the calls of sendto are the first of all, or the first one after something was changed. */
function placesAfterChanges(lines: readonly string[]): readonly number[] {
  const places: number[] = [];
  let [requests, hasChanged] = [0, true];
  for (const line of lines) {
    const [, name = ''] = /^(?:\d+ +)?(\w+)\(/.exec(line) ?? [];
    if (name !== 'sendto') hasChanged ||= isChangeOfFiles(line, name);
    else {
      requests++;
      if (hasChanged) places.push(requests);
      hasChanged = !asking.test(line);
    }
  }
  return places;
}

const isChangeOfFiles = (line: string, name: string): boolean =>
  name === 'write' ? / write\(\d+<\//.test(line) : name !== '' && !isReading(line, name);

/**
 * Makes a call through a command that kills it at the first such system call, then at the second, … until one comes
 * through. Returns how often it was killed.
 */
export async function sweep(
  call: Call,
  syscall: SystemCall,
  afterEach: (place: number, kills: number) => Promise<void>,
): Promise<number> {
  for (let place = 1; place < most; place++) {
    const outcome = await call(killedAt(syscall, place));
    await afterEach(place, place);
    if (!isKilled(outcome)) return place - 1;
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
  call: Call,
): Promise<readonly { readonly name: string; readonly paths: readonly string[] }[]> {
  return (await traced(call, ['-y', '-z', '-e', 'trace=%file,%desc'])).flatMap((line) => {
    const [name = ''] = /^\w+/.exec(line) ?? [];
    const paths = line.match(/[^"<>]+(?=[">])/g)?.filter((path) => path.startsWith(folder)) ?? [];
    return paths.length === 0 || isReading(line, name) ? [] : [{ name, paths }];
  });
}

/** What strace writes of a call, which has to succeed: one line for each system call. */
async function traced(call: Call, options: readonly string[]): Promise<readonly string[]> {
  const work = mkdtempSync(join(tmpdir(), `eg-${process.pid}-trace-`));
  try {
    const output = join(work, 'trace');
    const { code, stdout, stderr } = await call([tool('strace'), '-qq', ...options, '-o', output]);
    if (code !== 0) throw new Error(`A call that is traced ended with exit code ${code}: ${stdout}${stderr}`);
    return readFileSync(output, 'utf8').split('\n');
  } finally {
    rmSync(work, { recursive: true });
  }
}
