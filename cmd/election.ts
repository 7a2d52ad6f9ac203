import { write } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { type Part, Parts } from '../src/agent/child.ts';
import { Elections } from '../src/election/elections.ts';
import type { HintTargets, Instance } from '../src/election/plan.ts';
import { LinuxElection } from '../src/kernel/election.ts';
import { staySmall } from './memory.ts';

/** Milliseconds from a change in the kernel to the look at it: changes come in swarms. */
const lookAfter = 10;
/** Milliseconds between two looks at what is counted. */
const tellEvery = 1_000;

/**
 * Runs elections until the agent says that they end: its orders come on stdin, and what there is to tell goes to stdout.
 * Whatever the agent does, this process goes on beside it: it waits for no file, and for no lock. When the agent is dead it
 * ends as it is: addresses stay, and nothing moves.
 */
export async function runElection(): Promise<number> {
  beFirst();
  staySmall();
  const { promise: ended, resolve: end } = Promise.withResolvers<string | undefined>();
  using linux = new LinuxElection(() => setImmediate(() => parts.tell()));
  const parts = new Parts({ hints: hintsPart(linux), vrrp: vrrpPart(linux) }, writeLine);
  const timer = setInterval(() => parts.tell(), tellEvery);
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (text: string) => {
    const why = parts.take(text);
    if (why !== undefined) end(why);
  });
  process.stdin.on('end', () => end(undefined)); // the agent is dead, and the kernel goes on as before
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end('its agent ends'));
  const why = await ended;
  clearInterval(timer);
  if (why === undefined) return 0;
  await parts.stop(why);
  await parts.tellLast();
  return 0;
}

/** On a busy node others wait, and not who has a tenth of a second. It may be forbidden. */
export function beFirst(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch {
    // CAP_SYS_NICE is missing: then it is one among others
  }
}

/** Not by `process.stdout`, which waits while a pipe is full: the agent may hang. */
export function writeLine(line: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  write(1, line, () => resolve());
  return promise;
}

/** Whom hints go to. There is nothing to tell of it. */
const hintsPart = (linux: LinuxElection): Part => ({
  want: (wanted) => linux.hintTo(wanted as HintTargets | undefined),
  status: undefined,
  stop: async () => {},
});

function vrrpPart(linux: LinuxElection): Part {
  const elections = new Elections(linux);
  let isDue = false;
  const watch = linux.watch(() => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      void elections.look();
    }, lookAfter);
  });
  return {
    want: (wanted) => void elections.want(wanted as readonly Instance[]),
    get status() {
      return elections.status;
    },
    stop: async (why) => {
      await elections.stop(why);
      watch[Symbol.dispose]();
    },
  };
}
