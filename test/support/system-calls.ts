import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import type { Outcome } from './run.ts';
import { tool } from './tools.ts';

/** What a command asked of the kernel. */
export interface SystemCalls {
  /** Of its first thread, without those of memory and of waiting for other threads, which differ from run to run. */
  readonly calls: number;
  /** Bytes that these calls read and wrote, in files and by netlink. */
  readonly bytes: number;
}

const ofMemory = /^(futex|madvise|mmap|munmap|mprotect|brk|mremap|sched_yield|getpid|rt_sig\w+|clone3?)$/;

/** Counts what a command asks of the kernel; the command has to succeed. */
export async function systemCalls(
  lab: Lab,
  call: (through: readonly string[]) => Promise<Outcome>,
): Promise<SystemCalls> {
  const trace = join(lab.folder, lab.unique('calls'));
  const { code, stdout, stderr } = await call([tool('strace'), '-f', '-qq', '-s', '0', '-o', trace]);
  if (code !== 0) throw new Error(`A call that is traced ended with exit code ${code}: ${stdout}${stderr}`);
  const lines = (await readFile(trace, 'utf8')).split('\n');
  await rm(trace);
  const [, thread = ''] = /^(\d+) /.exec(lines[0] ?? '') ?? [];
  const own = lines.flatMap((line) => {
    const [, of, name = '', result] = /^(\d+) +(\w+)\(.*?(?:= (\d+).*)?$/.exec(line) ?? [];
    return of === thread && !ofMemory.test(name) ? [{ name, result: Number(result ?? 0) }] : [];
  });
  const moved = own.filter(({ name }) => /^(p?read|p?write|send|recv|getdents)/.test(name));
  return { calls: own.length, bytes: moved.reduce((sum, { result }) => sum + result, 0) };
}
