/** Has something done so seldom that it takes a small part of the time only, however long it takes. */
export class Seldom {
  readonly #now: () => number;
  readonly #times: number;
  #next = Number.NEGATIVE_INFINITY;

  /**
   * @param now milliseconds of a clock that does not go back
   * @param times how many times as long as it took is waited at least
   */
  constructor(now: () => number, times: number) {
    this.#now = now;
    this.#times = times;
  }

  /** Does it, unless it is too early: then nothing. Also one that fails took its time. */
  async do(action: () => Promise<void>): Promise<void> {
    const began = this.#now();
    if (began < this.#next) return;
    try {
      await action();
    } finally {
      const ended = this.#now();
      this.#next = ended + this.#times * (ended - began);
    }
  }
}
