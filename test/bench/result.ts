import { percentile } from './statistics.ts';

// What the bench found, as plain data: tables in the terminal, files of results, plots and README are all made of it.

/** What one part of the bench found: the content of `results/PART.json`. */
export interface PartResult {
  /** `start`, `add`, … */
  readonly part: string;
  readonly run: Run;
  readonly tables: readonly ResultTable[];
}

/** Where and when something was measured. */
export interface Run {
  /** Of its end, UTC, as ISO 8601 has it. */
  readonly date: string;
  /** Short name of the commit; with `and changes` behind it when files differed from it. */
  readonly commit: string;
  /** `2 cores (AMD EPYC)`. */
  readonly machine: string;
  /** The kernel's release. */
  readonly kernel: string;
  /** Node's version. */
  readonly node: string;
  /** Processes at work, the mean of the last minute (getloadavg(3)). More than cores before it began: others were at work. */
  readonly load: { readonly before: number; readonly after: number };
}

/** A table: rows of cells below the heads of their columns. */
export interface ResultTable {
  /** Unique within the part; plots find it by that. */
  readonly name: string;
  /** The head of the column with the rows' names. */
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** A line below the table. */
  readonly note?: string;
}

/** How numbers are shown. */
export interface Format {
  /** Decimal places; 1 when not said. */
  readonly digits?: number;
  /** Which values of a spread are shown; `p50` when not said. */
  readonly shows?: readonly Quantile[];
  /** With a sign, since it is a difference. */
  readonly signed?: boolean;
}

export interface Column extends Format {
  readonly name: string;
  /** `ms`, `MiB`, …; {@link ratioUnit} for ratios, whose name begins with `: ` and says to what. */
  readonly unit?: string;
}

/** A row whose numbers differ from those above and below has a format of its own. */
export interface Row extends Format {
  readonly name: string;
  /** One for each column. */
  readonly cells: readonly Cell[];
}

/** A number, a text, what a series of rounds gave, or nothing. */
export type Cell = number | string | Spread | null;

/** What the rounds of one series gave. */
export interface Spread {
  readonly rounds: number;
  readonly min: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

export type Quantile = 'p50' | 'p95' | 'max';

/** The unit of ratios. */
export const ratioUnit = 'x';

/** The spread of a series, to four significant digits; `null` when there was no round. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const at = (share: number) => significant(percentile(values, share));
  return { rounds: values.length, min: at(0), p50: at(0.5), p95: at(0.95), max: at(1) };
}

/** The spread of the ratios of a series to another that was measured in the same rounds. */
export const ratioOf = (values: readonly number[], others: readonly number[]): Spread | null =>
  spreadOf(values.flatMap((value, round) => (others[round] === undefined ? [] : [value / others[round]])));

/** Four significant digits: no measurement of ours has more. */
export const significant = (value: number): number => Number(value.toPrecision(4));

/** A column of ratios, named after what they are to. */
export const ratioColumn = (to: string): Column => ({ name: `: ${to}`, unit: ratioUnit, digits: 2 });

/** The middle value of a cell; `undefined` when it has none. */
export function middleOf(cell: Cell | undefined): number | undefined {
  if (typeof cell === 'number') return cell;
  return typeof cell === 'object' && cell !== null ? cell.p50 : undefined;
}

/** A table of a part by its name; `undefined` without it. */
export const tableOf = (result: PartResult | undefined, name: string): ResultTable | undefined =>
  result?.tables.find((table) => table.name === name);

/** A cell by the names of its row and its column; `undefined` when there is none. */
export function cellOf(table: ResultTable | undefined, row: string, column: string): Cell | undefined {
  const place = table?.columns.findIndex(({ name }) => name === column) ?? -1;
  return table?.rows.find(({ name }) => name === row)?.cells[place];
}
