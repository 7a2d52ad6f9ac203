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
export const roundsOf = (usual: number, environment: NodeJS.ProcessEnv = process.env): number =>
  numberIn(environment, 'BENCH_ROUNDS') ?? usual;

/** How many other pods a node has: as many as usual, but not more than `BENCH_PODS` says. */
export const podsOf = (usual: number, environment: NodeJS.ProcessEnv = process.env): number =>
  Math.min(usual, numberIn(environment, 'BENCH_PODS') ?? usual);

/** For how many seconds traffic is sent: as many as usual, or as `BENCH_SECONDS` says. */
export const secondsOf = (usual: number, environment: NodeJS.ProcessEnv = process.env): number =>
  numberIn(environment, 'BENCH_SECONDS') ?? usual;

function numberIn(environment: NodeJS.ProcessEnv, name: string): number | undefined {
  const { [name]: text } = environment;
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`${name} is a number, 1 or more, not "${text}"`);
  return Number(text);
}
