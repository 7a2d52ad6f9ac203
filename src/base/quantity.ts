const steps = ['', 'k', 'M', 'G', 'T'] as const;

/** A number that a person takes in at a glance: `0`, `0.4`, `12`, `1.2k`, `35M`; a step is 1000. */
export function short(value: number): string {
  if (value > 0 && value < 0.05) return '<0.1';
  let [rest, step] = [value, 0];
  while (rest >= 999.5 && step < steps.length - 1) [rest, step] = [rest / 1000, step + 1];
  const digits = rest < 9.95 && !Number.isInteger(rest) ? rest.toFixed(1) : rest.toFixed(0);
  return `${digits}${steps[step]}`;
}

/** `4 s`, `2 min`, `3 h`, `5 days`: roughly how long. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
