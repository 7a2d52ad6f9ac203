/** What {@link watch} has around it. */
export interface Watch {
  /**
   * Makes all as it should be. Its errors do not end the watch. `isRung`: somebody knows of a change, or it is the first look,
   * or the last one failed; else nothing rang for the idle while.
   */
  look(isRung: boolean): Promise<void>;
  /** Takes an error of a look: each kind once, until a look succeeds again. */
  report(error: unknown): void;
  /** Whoever knows of a change rings it. */
  readonly bell: Bell;
  /** Ends the watch; a look that has begun is finished. */
  readonly signal: AbortSignal;
  /** Milliseconds from one look to the next, unless the bell is rung for a look at once; see {@link pauses} for the default. */
  readonly rest?: number;
}

/**
 * Milliseconds to the next look: `rest` at least, however often the bell rings; `retry` after a failed look; `idle`
 * while nothing rings, because some changes send no message.
 */
export const pauses = { rest: 100, retry: 1_000, idle: 30_000 } as const;

/** Rung whenever a look may find something. A ring during a look is kept for the next one; any number are one. */
export class Bell {
  #next = new AbortController();
  #urgent = new AbortController();

  readonly ring = (): void => this.#next.abort();

  /** The next look shall not rest before it. */
  readonly ringAtOnce = (): void => {
    this.#urgent.abort();
    this.#next.abort();
  };

  /** Forgets what was rung; the signals are aborted by the next ring, and by the next that is urgent. */
  reset(): { readonly rung: AbortSignal; readonly urgent: AbortSignal } {
    this.#next = new AbortController();
    this.#urgent = new AbortController();
    return { rung: this.#next.signal, urgent: this.#urgent.signal };
  }
}

/** Looks at once, after every ring and after every idle while, until the signal is aborted. */
export async function watch({ look, report, bell, signal, rest = pauses.rest }: Watch): Promise<void> {
  const errors = new ErrorsOnce(report);
  signal.addEventListener('abort', bell.ringAtOnce, { once: true });
  for (let isRung = true; !signal.aborted; ) {
    const { rung, urgent } = bell.reset();
    const succeeded = await errors.ofAsync(() => look(isRung));
    await pause(succeeded ? pauses.rest : pauses.retry, signal);
    if (succeeded && rest > pauses.rest) await pause(rest - pauses.rest, urgent);
    await pause(pauses.idle, rung);
    isRung = rung.aborted || !succeeded;
  }
}

/**
 * Reads each time it is called, and returns the last good value when `read` throws. `report` then takes the error, each
 * kind once until a reading succeeds again. Throws the error of the first reading.
 */
export function lastGood<T>(read: () => T, report: (error: unknown) => void): () => T {
  const errors = new ErrorsOnce(report);
  let good = read();
  return () => {
    errors.of(() => {
      good = read();
    });
    return good;
  };
}

/** Reports errors of something that is repeated, by their texts. */
class ErrorsOnce {
  readonly #report: (error: unknown) => void;
  readonly #reported = new Set<string>();

  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  of(action: () => void): void {
    try {
      action();
      this.#reported.clear();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Whether the action succeeded. */
  async ofAsync(action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      this.#reported.clear();
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  #failed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#reported.has(text)) return;
    this.#reported.add(text);
    this.#report(error);
  }
}

/** Resolves after so many milliseconds, or as soon as the signal is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
  });
}
