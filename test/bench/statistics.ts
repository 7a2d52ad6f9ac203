/** The value that `share` of the values (0 to 1) do not exceed: `percentile(times, 0.95)`. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const found = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (found === undefined) throw new Error('No values');
  return found;
}

/** The value in the middle. */
export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** How the values of one series compare to those of another that were measured in the same rounds. */
export const medianRatio = (values: readonly number[], others: readonly number[]): number =>
  median(values.map((value, round) => value / (others[round] ?? Number.NaN)));

/** The middle and the slow end of times in ms: `41.0 / 48.3`. */
export const printMs = (times: readonly number[]): string =>
  `${percentile(times, 0.5).toFixed(1)} / ${percentile(times, 0.95).toFixed(1)}`;

/** A ratio as the tables show it: `0.48 x`. */
export const printRatio = (ratio: number): string => `${ratio.toFixed(2)} x`;
