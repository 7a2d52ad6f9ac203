/** Bounds of a portion. */
export interface PortionBounds {
  /** How many it begins with, and at least. */
  readonly least: number;
  readonly most: number;
  /** Milliseconds that one shall take at most. */
  readonly milliseconds: number;
}

/**
 * How many things to do at a time where others wait for the end of each time: few at first, twice as many behind a time that was
 * short, and half as many behind a long one.
 */
export class Portion {
  readonly #bounds: PortionBounds;
  #size: number;

  constructor(bounds: PortionBounds) {
    this.#bounds = bounds;
    this.#size = bounds.least;
  }

  get size(): number {
    return this.#size;
  }

  /** So many have taken so long. */
  took(count: number, milliseconds: number): void {
    const { least, most, milliseconds: enough } = this.#bounds;
    if (milliseconds > enough) this.#size = Math.max(least, Math.floor(this.#size / 2));
    else if (count >= this.#size) this.#size = Math.min(most, 2 * this.#size);
  }
}
