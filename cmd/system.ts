import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { basename, dirname } from 'node:path';
import { findMissingRights } from '../src/kernel/rights.ts';
import type { Program, Room, System } from '../src/report/doctor/system.ts';
import { isClaimed } from './claim.ts';

/** Milliseconds for another program to tell its version. */
const patience = 3_000;

/** The machine as this process sees it. */
export function openSystem(): System {
  const glibc = glibcVersion();
  return {
    kernel: release(),
    ...(glibc !== undefined && { glibc }),
    now: () => Date.now(),
    writtenAt: statSync(process.execPath).mtimeMs,
    findMissingRights,
    isClaimed,
    roomIn,
    findRuntimes,
    versionOfPlugin,
  };
}

/** Node's report knows it; of the rest, which holds the environment, nothing is read. */
function glibcVersion(): string | undefined {
  const report = Object.assign(process.report, { excludeNetwork: true }); // it would ask DNS for the peers' names
  const { header } = report.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime;
}

function roomIn(folder: string): Room {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(folder);
    return { folder, freeBytes: bavail * bsize, ...(files > 0 && { freeFiles: ffree }), writable: isWritable(folder) };
  } catch (error) {
    const above = dirname(folder);
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!isAbsent || above === folder) throw error;
    return roomIn(above);
  }
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Names of daemons, as in /proc/PID/comm. */
const runtimes: readonly string[] = ['containerd', 'crio', 'dockerd', 'cri-dockerd'];

function findRuntimes(): readonly Program[] {
  const found = new Map<string, Program>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const name = commandOf(pid);
    if (name === undefined || !runtimes.includes(name) || found.has(name)) continue;
    const version = /\bv?(\d+\.\d+\.\d+\S*)/.exec(said(`/proc/${pid}/exe`, '--version'))?.[1];
    found.set(name, { name, ...(version && { version }) });
  }
  return [...found.values()];
}

function commandOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined; // it has ended
  }
}

/** Called without CNI_COMMAND, the plugins of the CNI project say what they are; Debian’s, that their version is unknown. */
const versionOfPlugin = (file: string): string | undefined =>
  basename(file) === 'egress' ? undefined : /\bplugin (?:version )?v?(\d\S*)/.exec(said(file))?.[1];

/** What a program says when it is given nothing; nothing of one that is not there, or says nothing in time. */
function said(file: string, ...words: readonly string[]): string {
  const { stdout, stderr } = spawnSync(file, words, { env: {}, input: '', encoding: 'utf8', timeout: patience });
  return `${stdout ?? ''}${stderr ?? ''}`;
}
