/** The value that `share` of the values (0 to 1) do not exceed: `percentile(times, 0.95)`. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const found = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (found === undefined) throw new Error('No values');
  return found;
}

/** The value in the middle. */
export const median = (values: readonly number[]): number => percentile(values, 0.5);

/**
 * How many rounds a part makes: as many as it does usually, or as `BENCH_ROUNDS` says. Few rounds try whether all works, and measure
 * nothing.
 */
export function roundsOf(usual: number, environment: NodeJS.ProcessEnv = process.env): number {
  const { BENCH_ROUNDS: asked } = environment;
  if (asked === undefined) return usual;
  if (!/^[1-9]\d*$/.test(asked)) throw new Error(`BENCH_ROUNDS is the number of rounds, 1 or more, not "${asked}"`);
  return Number(asked);
}
