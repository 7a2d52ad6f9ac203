const longestShown = 60;

/** A value as messages quote it: its JSON, or `nothing`. Of a long one the beginning. */
export const shown = (value: unknown): string => cut(textOf(value), longestShown);

/** A text, or as much of it as there is room for. */
export const cut = (text: string, longest: number): string =>
  text.length > longest ? `${text.slice(0, longest)}…` : text;

/** A text in at most so many characters, without its middle: `team…x2k9p`. */
export function withoutMiddle(text: string, most: number): string {
  const letters = [...text];
  if (letters.length <= most) return text;
  const kept = most - 1;
  return `${letters.slice(0, Math.ceil(kept / 2)).join('')}…${letters.slice(letters.length - Math.floor(kept / 2)).join('')}`;
}

/** A number as tools print marks, masks and flags. */
export const hexNumber = (value: number): string => `0x${value.toString(16)}`;

function textOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  // JSON has no word for Infinity, and a parser reads `1e400` as that.
  return typeof value === 'number' ? String(value) : JSON.stringify(shallow(value, longestShown));
}

/** The value cut off at a depth that no shown text reaches: JSON.stringify overflows the stack on deep values. */
function shallow(value: unknown, depth: number): unknown {
  if (value === null || typeof value !== 'object' || depth === 0) return typeof value === 'object' ? null : value;
  if (Array.isArray(value)) return value.map((item) => shallow(item, depth - 1));
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, shallow(part, depth - 1)]));
}
