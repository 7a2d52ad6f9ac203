/** Milliseconds. So many repairs within the window are made at once; each further one waits twice as long as the last. */
const window = 60_000;
const free = 10;
const firstPause = 200;
/** While it lasts pods may start without egress, so it is short. */
const longestPause = 10_000;

/** When we put our entry back into a file, and when to do so next if somebody keeps taking it out. */
export class BackOff {
  #repairs: readonly number[] = [];

  /** A repair was made at a time, in milliseconds of any clock that does not go back. */
  repaired(now: number): void {
    this.#repairs = [...this.recent(now), now];
  }

  /** The repairs of the last minute. */
  recent(now: number): readonly number[] {
    return this.#repairs.filter((time) => now - time < window);
  }

  /** Milliseconds until the next repair may be made: 0 unless there were many of late. */
  pause(now: number): number {
    const recent = this.recent(now);
    const last = recent.at(-1);
    if (last === undefined || recent.length <= free) return 0;
    return Math.max(0, last + Math.min(firstPause * 2 ** (recent.length - free - 1), longestPause) - now);
  }
}
