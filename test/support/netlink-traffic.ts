import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import type { Outcome } from './run.ts';
import { tool } from './tools.ts';

/** What a command said to the kernel by netlink, and what the kernel answered. */
export interface NetlinkTraffic {
  /** Calls of sendmsg(2) and sendto(2). */
  readonly sent: number;
  /** Bytes of the answers. */
  readonly receivedBytes: number;
}

/** Counts what a command exchanges with the kernel by netlink; the command has to succeed. */
export async function netlinkTraffic(
  lab: Lab,
  call: (through: readonly string[]) => Promise<Outcome>,
): Promise<NetlinkTraffic> {
  const trace = join(lab.folder, lab.unique('netlink'));
  const calls = 'trace=sendmsg,sendto,recvmsg,recvfrom';
  const { code, stdout, stderr } = await call([tool('strace'), '-f', '-qq', '-z', '-e', calls, '-o', trace]);
  if (code !== 0) throw new Error(`A call that is traced ended with exit code ${code}: ${stdout}${stderr}`);
  const lines = (await readFile(trace, 'utf8')).split('\n').filter((line) => line.includes('AF_NETLINK'));
  await rm(trace);
  const results = (name: 'send' | 'recv') =>
    lines.filter((line) => line.includes(` ${name}`)).map((line) => Number(/= (\d+)$/.exec(line)?.[1] ?? 0));
  return { sent: results('send').length, receivedBytes: results('recv').reduce((sum, bytes) => sum + bytes, 0) };
}
