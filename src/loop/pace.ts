/** What a pace goes by. */
export interface PaceSurroundings {
  /** Whether somebody else changes something right now. */
  isOtherAtWork(): boolean;
  /** Milliseconds of a clock that does not go back. */
  now(): number;
}

/** Milliseconds of work after which somebody else is looked for. */
const stretch = 5;
/** Milliseconds for which somebody counts who was seen at work: runtimes start pods one after the other. */
const linger = 1_000;
/** Milliseconds of one rest at most: what becomes urgent meanwhile waits no longer. */
const longest = 250;
/** Milliseconds that one task rests at most: it comes to its end, whatever others do. */
const patience = 10_000;

/**
 * Work that can wait rests while somebody else is at work, and goes on when nobody was seen for a second: a processor, the kernel's locks
 * and caches are shared. Without others, and in a hurry, it never rests.
 */
export class Pace {
  readonly #surroundings: PaceSurroundings;
  #since: number;
  #seenAt = Number.NEGATIVE_INFINITY;
  /** When something became urgent that no task has seen to yet. */
  #urgentSince = Number.POSITIVE_INFINITY;
  #left = patience;

  constructor(surroundings: PaceSurroundings) {
    this.#surroundings = surroundings;
    this.#since = surroundings.now();
  }

  /** Another task begins. */
  begin(): void {
    this.#left = patience;
    this.#since = this.#surroundings.now();
  }

  /** Nothing can wait now, until a task has seen to it. */
  hurry(): void {
    this.#urgentSince = this.#surroundings.now();
  }

  /** A task has ended that began at a time of the clock: what was urgent by then is done. */
  ended(began: number): void {
    if (this.#urgentSince <= began) this.#urgentSince = Number.POSITIVE_INFINITY;
  }

  /** Somebody else was met, as by a wait for what he had. */
  met(): void {
    this.#seenAt = this.#surroundings.now();
  }

  /** Whether somebody else was at work of late. */
  get isBesideOthers(): boolean {
    const now = this.#surroundings.now();
    if (now >= this.#seenAt + linger && this.#surroundings.isOtherAtWork()) this.#seenAt = now;
    return now < this.#seenAt + linger;
  }

  /** Milliseconds to rest now, 0 for none; they count as spent. Nobody who waits for this work may be kept waiting by it. */
  pause(): number {
    const now = this.#surroundings.now();
    if (now - this.#since < stretch) return 0;
    this.#since = now;
    if (this.#surroundings.isOtherAtWork()) this.#seenAt = now;
    if (now >= this.#urgentSince || now >= this.#seenAt + linger) return 0;
    const pause = Math.min(this.#left, longest, this.#seenAt + linger - now);
    this.#left -= pause;
    this.#since = now + pause;
    return pause;
  }

  /** Waits, before a task begins, until nobody else was at work for a second. It counts as rest. */
  async giveWay(): Promise<void> {
    for (let pause = this.#pauseBefore(); pause > 0; pause = this.#pauseBefore()) {
      this.#left -= pause;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    this.#since = this.#surroundings.now();
  }

  #pauseBefore(): number {
    const now = this.#surroundings.now();
    if (now >= this.#urgentSince) return 0;
    if (this.#surroundings.isOtherAtWork()) this.#seenAt = now;
    return Math.max(0, Math.min(this.#left, longest, this.#seenAt + linger - now));
  }

  /** Rests, where it is time to. */
  async rest(): Promise<void> {
    const pause = this.pause();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
