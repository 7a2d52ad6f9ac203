import { setImmediate } from 'node:timers/promises';
import type { Work } from '../src/cli/command.ts';
import type { Step } from '../src/node/machine.ts';
import { tell } from './stderr.ts';

const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Milliseconds after which a person wants to know, and between two lines that tell. */
const pauses = { first: 1_000, next: 100 } as const;

/** The line that is shown now. */
let shown: Line | undefined;

/** Before anything else is written to a terminal. */
export const clearLine = (): void => shown?.clear();

/**
 * Something that a person waits for. With `changes` the first signal is heard between two parts, since a part is a change as a
 * whole; a second one ends the process as it is.
 */
export function openWork(changes: boolean): Work & Disposable {
  const line = new Line();
  let isEnding = false;
  const end = () => {
    isEnding = true;
    line.clear();
    for (const signal of endings) process.off(signal, end);
    tell('egress: ends as soon as what is under way is done; another signal ends it at once.');
  };
  for (const signal of changes ? endings : []) process.on(signal, end);
  return {
    onward: async (step) => {
      await setImmediate(); // signals are heard by the event loop, and the kernel answers without it
      if (!isEnding) line.show(textOf(step));
      return !isEnding;
    },
    tell: (what) => line.showNow(`${what} …`),
    get isEnding() {
      return isEnding;
    },
    [Symbol.dispose]: () => {
      for (const signal of endings) process.off(signal, end);
      line.clear();
    },
  };
}

const textOf = ({ what, done, of }: Step): string => `${done} of ${of}: ${what} …`;

/** One line on the terminal that stderr is, over and over; nothing where it is none. */
class Line {
  readonly #isSeen = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
  #shownAt = performance.now() + pauses.first - pauses.next;
  #isShown = false;

  show(text: string): void {
    if (performance.now() - this.#shownAt >= pauses.next) this.showNow(text);
  }

  showNow(text: string): void {
    if (!this.#isSeen) return;
    const width = (process.stderr.columns || 80) - 1;
    process.stderr.write(`\r\x1b[K${[...text.replace(/\p{Cc}/gu, '?')].slice(0, width).join('')}`);
    this.#shownAt = performance.now();
    this.#isShown = true;
    shown = this;
  }

  clear(): void {
    if (this.#isShown) process.stderr.write('\r\x1b[K');
    this.#isShown = false;
  }
}
