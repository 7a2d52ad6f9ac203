import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import type { MachineOptions } from '../src/cni/plugin.ts';
import { absent, stateOf } from '../src/files/file.ts';
import { LinuxHost } from '../src/kernel/linux-host.ts';
import { lockFile } from '../src/kernel/lock.ts';
import { isFileLocked } from '../src/kernel/netlink/libc.ts';
import { type Machine, silent } from '../src/node/machine.ts';
import { Store } from '../src/store/store.ts';
import { openLog } from './log.ts';
import { tell } from './stderr.ts';

/** The network namespace that this process is in: its inode is one for all, and lasts while somebody has it open. */
const nodePath = '/proc/self/ns/net';

/** The real kernel, the real files, and a log file if one is wanted. */
export async function openMachine(options: MachineOptions): Promise<Machine & Disposable> {
  const log = options.logFile === undefined ? silent : openLog(options.logFile, options.logLevel ?? 'info');
  const host = new LinuxHost();
  const warn = (message: string) => {
    log.warn({}, message);
    tell(`egress: ${message}`);
  };
  const store = new Store(options.dataDir, { lockFile, isLocked: isFileLocked, nodePath, warn });
  return { host, store, log, build, [Symbol.dispose]: () => host[Symbol.dispose]() };
}

/** The program that runs, though another may be at its place by now. */
const build = () => stateOf('/proc/self/exe');

/** The text of a file; `undefined` when there is none of that name. Throws when it has more than `longest` bytes. */
export function readFile(path: string, longest = Number.POSITIVE_INFINITY): string | undefined {
  const descriptor = opened(path);
  if (descriptor === undefined) return undefined;
  try {
    const { size } = fstatSync(descriptor);
    if (size > longest) throw new Error(`it has ${size} bytes, and no more than ${longest} are read`);
    return readFileSync(descriptor).toString();
  } finally {
    closeSync(descriptor);
  }
}

function opened(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * A text that tells what is in a file, in one that need not be there, and in the program's own, from whatever else was or will
 * be in them; `undefined` when one of the others is not there, or one of them changed moments ago.
 */
export function identify(path: string, kept: string): string | undefined {
  try {
    const states = [path, process.execPath, kept].map(stateOf);
    const isUnsure = states.includes(undefined) || states.slice(0, 2).includes(absent);
    return isUnsure ? undefined : states.join('\n');
  } catch {
    return undefined;
  }
}
