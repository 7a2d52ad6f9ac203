import { Parts } from '../src/agent/child.ts';
import type { FastPath } from '../src/datapath/fast-path-plan.ts';
import { LinuxFastPath } from '../src/kernel/fast-path.ts';
import { beFirst, writeLine } from './election.ts';
import { staySmall } from './memory.ts';

/**
 * Holds the fast path as long as an agent lives: its orders come on stdin, and what there is to tell goes to stdout. However this
 * process or the agent ends, the kernel takes the table away with the socket, and every connection goes the ordinary way.
 */
export async function runFastPath(): Promise<number> {
  beFirst();
  staySmall();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  using fast = new LinuxFastPath(() => setImmediate(() => parts.tell()));
  const part = {
    want: (wanted: unknown) => fast.want((wanted ?? undefined) as FastPath | undefined),
    get status() {
      return fast.status;
    },
    stop: async () => {},
  };
  const parts = new Parts({ fast: part }, writeLine);
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (text: string) => {
    if (parts.take(text) !== undefined) end();
  });
  process.stdin.on('end', () => end());
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end());
  await ended;
  return 0;
}
