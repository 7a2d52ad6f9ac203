import { withoutMiddle } from '../base/shown.ts';
import { printTable } from './table.ts';

/** A column of a table that has to fit a terminal. */
export interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  /** What may be left out of its cells where there is too little room: the middle of names, the last ones of lists. */
  readonly shorten?: 'middle' | 'list';
  /** Left out as a whole where even short cells do not fit, the lowest number first. */
  readonly spare?: number;
}

/** A table, and the titles of columns that had no room. */
export interface Fitted {
  readonly text: string;
  readonly leftOut: readonly string[];
}

/** Characters that a shortened name keeps at least. */
const shortest = 10;
/** Characters between two columns. */
const gap = 2;

/** Columns as a table of at most `width` characters in a line; as wide as they are without one. */
export function fitTable(columns: readonly Column[], colors: boolean, width?: number): Fitted {
  const leftOut: string[] = [];
  let shown = columns;
  let widths = widthsIn(shown, width);
  while (widths === undefined) {
    const spare = shown
      .filter((column) => column.spare !== undefined)
      .sort((a, b) => (a.spare ?? 0) - (b.spare ?? 0))[0];
    if (spare === undefined) break; // it will not fit: better whole than without what it is about
    if (spare.cells.some((cell) => cell !== '')) leftOut.push(spare.title);
    shown = shown.filter((column) => column !== spare);
    widths = widthsIn(shown, width);
  }
  const cells = shown.map((column, i) =>
    column.cells.map((cell) => shortened(printable(cell), column.shorten, widths?.[i])),
  );
  const rows = (cells[0] ?? []).map((_, row) => cells.map((column) => column[row] ?? ''));
  const titles = shown.map(({ title }) => title);
  return {
    text: printTable(titles, rows, colors),
    leftOut: columns.map(({ title }) => title).filter((title) => leftOut.includes(title)),
  };
}

/** The widths with which all fit, the widest ones shortened first; `undefined` when they do not. */
function widthsIn(columns: readonly Column[], width: number | undefined): readonly number[] | undefined {
  const widths = columns.map(({ title, cells }) => Math.max(title.length, ...cells.map(lengthOf)));
  const least = columns.map(({ title, shorten, cells }) =>
    Math.max(title.length, ...cells.map((cell) => leastOf(cell, shorten))),
  );
  const room = (width ?? Number.POSITIVE_INFINITY) - gap * (columns.length - 1);
  for (let sum = widths.reduce((a, b) => a + b, 0); sum > room; sum--) {
    const widest = widths.reduce((best, own, i) => (own > (least[i] ?? 0) && own > (widths[best] ?? 0) ? i : best), -1);
    if (widest < 0) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

/** A name may hold what a terminal would obey. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, '?');

/** In characters as terminals show them, without colours. */
function lengthOf(text: string): number {
  return [...text].length;
}

/** A text in so many characters: `team…x2k9p`, or of a list whole items alone, `10.0.0.9 +1`. */
export function shortened(text: string, how: Column['shorten'], width = Number.POSITIVE_INFINITY): string {
  if (how === undefined || lengthOf(text) <= width) return text;
  return how === 'list' ? listIn(text, width) : withoutMiddle(text, width);
}

/** As many items as there is room for, one at least, and how many more there are: half an address would be another one. */
function listIn(text: string, width: number): string {
  const items = text.split(', ');
  const forms = items.map(
    (_, left) => `${items.slice(0, items.length - left).join(', ')}${left > 0 ? ` +${left}` : ''}`,
  );
  return forms.find((form) => lengthOf(form) <= width) ?? forms.at(-1) ?? text;
}

/** The fewest characters that a cell can be shortened to. */
const leastOf = (cell: string, how: Column['shorten']): number =>
  how === 'list' ? lengthOf(listIn(cell, 0)) : how === 'middle' ? Math.min(lengthOf(cell), shortest) : lengthOf(cell);

/** Sentences, with line breaks between words where a line would have more than `width` characters. */
export const wrapped = (text: string, width = Number.POSITIVE_INFINITY): string =>
  text
    .split('\n')
    .map((line) => wrapLine(line, width))
    .join('\n');

function wrapLine(line: string, width: number): string {
  const lines: string[] = [];
  for (const word of line.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || lengthOf(last) + 1 + lengthOf(word) > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join('\n');
}
