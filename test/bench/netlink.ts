import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../support/node.ts';
import { tool } from '../support/tools.ts';

/** What a process sent to the kernel by netlink. */
export interface Sent {
  /** Calls of sendmsg(2) and sendto(2), of transactions and questions alike. */
  readonly calls: number;
  readonly bytes: number;
  /** Of transactions of nf_tables. */
  readonly transactions: readonly Transaction[];
}

/** One batch of nf_tables: all of it or nothing. */
export interface Transaction {
  /** Requests between its begin and its end. */
  readonly requests: number;
  readonly bytes: number;
}

/** Records what a process of a node sends while something happens, by strace, which makes it slower. */
export async function sentDuring({ lab, machine }: LabNode, pid: number, action: () => Promise<void>): Promise<Sent> {
  const trace = join(lab.folder, lab.unique('sent'));
  const options = ['-f', '-v', '-z', '-e', 'trace=sendmsg,sendto', '-o', trace, '-p', String(pid)];
  // In the node's network namespace, where it finds out of which protocol the sockets are.
  const strace = await machine.start([tool('strace'), ...options], 'attached');
  await action();
  await strace.stop('SIGINT');
  const sent = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line.includes('nlmsg_len='));
  const bytesOf = (line: string) => Number(/ = (\d+)$/.exec(line)?.[1] ?? 0);
  const batches = sent.filter((line) => line.includes('NFNL_MSG_BATCH_BEGIN'));
  return {
    calls: sent.length,
    bytes: sent.reduce((sum, line) => sum + bytesOf(line), 0),
    transactions: batches.map((line) => ({
      requests: (line.match(/nlmsg_len=/g)?.length ?? 0) - 2,
      bytes: bytesOf(line),
    })),
  };
}
