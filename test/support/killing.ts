import type { Outcome } from './run.ts';
import { tool } from './tools.ts';

/** Nothing of ours makes as many calls of one kind: a sweep that gets here would never have ended by itself. */
const most = 300;

const killedAt = (syscall: string, place: number): readonly string[] => [
  tool('strace'),
  ...['-f', '-qq', '-o', '/dev/null', '-e', `trace=${syscall}`],
  ...['-e', `inject=${syscall}:signal=KILL:when=${place}`],
];

const isKilled = ({ code }: Outcome) => code === 137;

/**
 * Makes a call through a command that kills it at the first such system call, then again at a later one, … until one
 * comes through. Returns how often it was killed.
 */
export async function sweep(
  call: (through: readonly string[]) => Promise<Outcome>,
  syscall: string,
  afterEach: (place: number) => Promise<void>,
  step = 1,
): Promise<number> {
  for (let place = 1; place < most; place += step) {
    const outcome = await call(killedAt(syscall, place));
    await afterEach(place);
    if (!isKilled(outcome)) return (place - 1) / step;
  }
  throw new Error(`Killed ${most} times at ${syscall}`);
}
