const longestShown = 60;

/** A value as messages quote it: its JSON, or `nothing`. Of a long one the beginning. */
export function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}
