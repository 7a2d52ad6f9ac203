import { readFileSync } from 'node:fs';
import { significant } from './result.ts';

/** Clock ticks in a second, as /proc counts processor time: the same on all machines that Linux runs on today. */
const ticks = 100;

/** What processes have taken until now. */
export interface Usage {
  /** Seconds on a processor, of the kernel for them, too. */
  readonly seconds: number;
  /** Bytes that are in memory, those of files that are mapped included. */
  readonly resident: number;
  /** Bytes of these that are in no file: what would be free again without the processes. */
  readonly own: number;
  /** Bytes of these that are of files, the binary above all: all processes of one binary share them. */
  readonly files: number;
}

/** Usage of each process, added up: files that two of them share count twice in `resident` and `files`. */
export const usageOf = (processes: readonly number[]): Usage =>
  processes.map(usageOfOne).reduce((sum, one) => ({
    seconds: sum.seconds + one.seconds,
    resident: sum.resident + one.resident,
    own: sum.own + one.own,
    files: sum.files + one.files,
  }));

function usageOfOne(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  const { VmRSS = 0, RssAnon = 0, RssFile = 0, RssShmem = 0 } = sizes(`/proc/${pid}/status`);
  return { seconds: (user + system) / ticks, resident: VmRSS, own: RssAnon, files: RssFile + RssShmem };
}

/** Lines of /proc with a size, in bytes. */
const sizes = (path: string): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...readFileSync(path, 'utf8').matchAll(/^(\w+):\s+(\d+) kB$/gm)].map(([, name, size]) => [
      name,
      Number(size) * 1024,
    ]),
  );

/** Bytes in MiB. */
export const mebibytes = (bytes: number): number => significant(bytes / 2 ** 20);
