import { readFileSync, statSync } from 'node:fs';
import type { MachineOptions } from '../src/cni/plugin.ts';
import { LinuxHost } from '../src/kernel/linux-host.ts';
import { lockFile } from '../src/kernel/lock.ts';
import { type Machine, silent } from '../src/node/machine.ts';
import { Store } from '../src/store/store.ts';
import { openLog } from './log.ts';
import { tell } from './stderr.ts';

/** The network namespace that this process is in: its inode is one for all, and lasts while somebody has it open. */
const nodePath = '/proc/self/ns/net';

/** The real kernel, the real files, and a log file if one is wanted. */
export async function openMachine(options: MachineOptions): Promise<Machine & Disposable> {
  const log = options.logFile === undefined ? silent : await openLog(options.logFile, options.logLevel ?? 'info');
  const host = new LinuxHost();
  const warn = (message: string) => {
    log.warn({}, message);
    tell(`egress: ${message}`);
  };
  const store = new Store(options.dataDir, { lockFile, nodePath, warn });
  return { host, store, log, [Symbol.dispose]: () => host[Symbol.dispose]() };
}

/** The text of a file; `undefined` when there is none of that name. */
export function readFile(path: string): string | undefined {
  try {
    return readFileSync(path).toString();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Clocks of file systems may be this coarse. A later change bears another time. */
const settledAfterMs = 2000n;

/**
 * A text that tells what is in a file, and in the program's own, from whatever else was or will be in them; `undefined`
 * when one of them is not there, or changed moments ago. The rule is git's: a change makes another file, another size,
 * or another time of change, which nobody can set.
 */
export function identify(path: string): string | undefined {
  try {
    const files = [path, process.execPath].map((file) => statSync(file, { bigint: true }));
    if (files.some(({ ctimeMs }) => ctimeMs > BigInt(Date.now()) - settledAfterMs)) return undefined;
    return files.map(({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(' ')).join('\n');
  } catch {
    return undefined;
  }
}
