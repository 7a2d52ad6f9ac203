import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../support/node.ts';
import { tool } from '../support/tools.ts';

/** What a process did while it had the store's lock, from having it to giving it back. */
export interface Hold {
  /** Calls of netlink: questions, listings and transactions. */
  readonly calls: number;
  /** Of these listings of whatever. */
  readonly listings: number;
  /** Of these listings of conntrack, each of which walks through the table of the whole machine. */
  readonly connectionListings: number;
  /** Calls that wait for the disk. */
  readonly syncs: number;
  /** Records of pods that were written. */
  readonly records: number;
}

/** Records what a process of a node does with the store's lock while something happens, by strace, which makes it slower. */
export async function holdsDuring(
  { lab, machine }: LabNode,
  pid: number,
  action: () => Promise<void>,
): Promise<readonly Hold[]> {
  const trace = join(lab.folder, lab.unique('holds'));
  const strace = await machine.start([...traceOfHolds(trace), '-p', String(pid)], 'attached');
  await action();
  await strace.stop('SIGINT');
  return holdsIn(readFileSync(trace, 'utf8').split('\n'));
}

/** The command that records what {@link holdsIn} reads. */
export const traceOfHolds = (trace: string): readonly string[] => {
  const calls = 'trace=flock,close,sendto,sendmsg,rename,fsync';
  return [tool('strace'), '-f', '-y', '-v', '-s', '256', '-e', calls, '-o', trace];
};

/** The holds that a trace shows: the file of the lock is locked for writing, and closed. */
export function holdsIn(lines: readonly string[]): readonly Hold[] {
  const holds: Hold[] = [];
  let held: { -readonly [key in keyof Hold]: Hold[key] } | undefined;
  let descriptor: string | undefined;
  const waiting = new Map<string, string>();
  for (const line of lines) {
    const thread = /^(\d+) /.exec(line)?.[1] ?? '';
    const [, asked] = /flock\((\d+)<[^>]*\/egress\/lock>, LOCK_EX/.exec(line) ?? [];
    if (asked !== undefined && line.includes('<unfinished')) waiting.set(thread, asked);
    const taken = line.includes('<... flock resumed>') ? waiting.get(thread) : asked;
    if (taken !== undefined && / = 0$/.test(line)) {
      descriptor = taken;
      held = { calls: 0, listings: 0, connectionListings: 0, syncs: 0, records: 0 };
    }
    if (held === undefined) continue;
    if (line.includes('nlmsg_len=')) held.calls++;
    const isListing = line.includes('nlmsg_len=') && /NLM_F_DUMP|NLM_F_ROOT|\|0x[37]00\b/.test(line);
    if (isListing) held.listings++;
    if (isListing && /IPCTNL_MSG_CT_GET\b/.test(line)) held.connectionListings++;
    if (/ fsync\(/.test(line)) held.syncs++;
    if (/rename\(".*", ".*\/attachments\/[^"]*"/.test(line)) held.records++;
    if (new RegExp(`close\\(${descriptor}<[^>]*/egress/lock>`).test(line)) {
      holds.push(held);
      held = undefined;
    }
  }
  return holds;
}
