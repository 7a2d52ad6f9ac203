import { pauses } from '../loop/watch.ts';

/** Milliseconds without an end of a round after which something hangs: the agent looks every {@link pauses.idle} at least. */
export const longestSilence = 4 * pauses.idle;

/** What the agent's rounds came to, for who asks whether it is alive and ready. */
export class Health {
  readonly #now: () => number;
  #ended: number | undefined;
  #isWaiting = true;
  #problem: string | undefined = 'No round has succeeded yet.';
  #isReadable = true;
  #missingRights: readonly string[] = [];

  /** @param now milliseconds of a clock that does not go back */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** It is this node's agent from now on; until then it waits for another one to end, which is no fault. */
  began(): void {
    this.#isWaiting = false;
    this.#ended = this.#now();
  }

  /** Another one is this node's agent, and it waits for that to end. */
  waits(): void {
    this.#isWaiting = true;
  }

  /** @param missingRights what the process may not do, in sentences */
  succeeded(isReadable: boolean, missingRights: readonly string[] = []): void {
    this.#ended = this.#now();
    this.#problem = undefined;
    this.#isReadable = isReadable;
    this.#missingRights = missingRights;
  }

  /** It is ready as before: a round that failed is repeated. */
  failed(): void {
    this.#ended = this.#now();
  }

  /** Why the process should be started anew; `undefined` while all is well. */
  whyNotAlive(): string | undefined {
    if (this.#isWaiting || this.#ended === undefined) return undefined;
    const silent = this.#now() - this.#ended;
    return silent > longestSilence ? `No round has ended for ${Math.round(silent / 1000)} seconds.` : undefined;
  }

  /** Why the node is not looked after as configured; `undefined` while it is. */
  whyNotReady(): string | undefined {
    if (this.#isWaiting) return 'It waits for another agent of this node to end.';
    if (this.#problem !== undefined) return this.#problem;
    if (this.#missingRights.length > 0) return `${this.#missingRights.join('; ')}.`;
    return this.#isReadable ? this.whyNotAlive() : 'The configuration cannot be read; the log says why.';
  }
}
