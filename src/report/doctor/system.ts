import type { Facts } from './facts.ts';
import { fault, ok, type Seen, warning } from './finding.ts';

/** What a process is told of the machine without asking the kernel’s network. */
export interface System {
  /** `uname -r` */
  readonly kernel: string;
  /** Version of the C library that runs this program; absent where that cannot be told. */
  readonly glibc?: string;
  /** Milliseconds since 1970, by the clock of the machine. */
  now(): number;
  /** The same, when this program’s file was written. */
  readonly writtenAt: number;
  /** What this process may not do, in sentences. */
  findMissingRights(): readonly string[];
  /** Whether somebody has a file locked. */
  isClaimed(path: string): boolean;
  /** Room for files in a folder, or in the nearest folder above that is there. */
  roomIn(folder: string): Room;
  /** Container runtimes that run here. */
  findRuntimes(): readonly Program[];
  /** The version that a CNI plugin says it has; absent when it says none, or is not there. */
  versionOfPlugin(file: string): string | undefined;
}

/** A program, and the version that it says it has. */
export interface Program {
  readonly name: string;
  readonly version?: string;
}

/** Room in a file system. */
export interface Room {
  readonly folder: string;
  readonly freeBytes: number;
  /** Absent where files are not counted. */
  readonly freeFiles?: number;
  readonly writable: boolean;
}

const megabyte = 1024 * 1024;
/** Below the first somebody should know of it; below the second a record may not fit any more. */
const least = { warning: 100 * megabyte, fault: 2 * megabyte, files: 16 } as const;

/** Room for records: without it ADD fails. */
export function disk({ system, dataDir }: Facts): readonly Seen[] {
  const { folder, freeBytes, freeFiles, writable } = system.roomIn(dataDir);
  const free = `${Math.floor(freeBytes / megabyte)} MiB free in ${folder}`;
  if (!writable)
    return [
      fault(
        `${folder} cannot be written: no pod with a policy starts`,
        `mount -o remount,rw the file system of ${folder}`,
      ),
    ];
  const remedy = `make room in the file system of ${folder}: df ${folder}; df -i ${folder}`;
  const isFull = freeBytes < least.fault || (freeFiles !== undefined && freeFiles < least.files);
  if (isFull)
    return [fault(`${free}, ${freeFiles ?? '?'} files: records do not fit, and no pod with a policy starts`, remedy)];
  return [freeBytes < least.warning ? warning(free, remedy) : ok(free)];
}

/** A day: time zones that were taken for each other are no more. */
const tolerance = 24 * 60 * 60 * 1000;

/** Only times in logs and in `status` go by the clock. */
export function clock({ system, machine }: Facts): readonly Seen[] {
  const now = system.now();
  const seen = [system.writtenAt, Date.parse(machine.store.agent.load()?.lookedAt ?? '')].filter(Number.isFinite);
  const text = shown(now);
  const latest = Math.max(...seen);
  return [
    latest > now + tolerance
      ? warning(
          `${text}, which is before ${shown(latest)}, when egress was here already: times in logs are wrong`,
          'set the clock: timedatectl set-ntp true',
        )
      : ok(text),
  ];
}

const shown = (time: number): string => `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** What this process may do, and with which C library. */
export function program({ system }: Facts): readonly Seen[] {
  const missing = system.findMissingRights();
  if (missing.length > 0)
    return missing.map((what) => warning(what, 'call egress as root on the host, or give its container the right'));
  return [ok(`has all rights; glibc ${system.glibc ?? 'of an unknown version'}`)];
}
