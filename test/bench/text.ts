import { printTable } from '../../src/cli/table.ts';
import { type Cell, type Column, type Format, type Quantile, type ResultTable, type Row, ratioUnit } from './result.ts';

const middle: readonly Quantile[] = ['p50'];

/** A table as the terminal shows it. */
export function textOf({ title, columns, rows, note }: ResultTable): string {
  const heads = [title, ...columns.map(headOf)];
  const lines = rows.map((row) => [row.name, ...columns.map((column, i) => cellText(row, column, row.cells[i]))]);
  return `${printTable(heads, lines, false)}${note === undefined ? '' : `${note}\n`}`;
}

/** `ADD, ms: p50 / p95`. */
function headOf({ name, unit, shows = middle }: Column): string {
  const of = unit === undefined || unit === ratioUnit ? '' : `, ${unit}`;
  return `${name}${of}${shows.length > 1 ? `: ${shows.join(' / ')}` : ''}`;
}

function cellText({ name: _, cells: __, ...own }: Row, column: Column, cell: Cell | undefined): string {
  const text = formatted(cell, { ...column, ...own });
  return column.unit === ratioUnit && text !== '-' ? `${text} x` : text;
}

/** A cell as text: `41.0 / 48.3`, `+2.1`; `-` where there is nothing. */
export function formatted(cell: Cell | undefined, { digits = 1, shows = middle, signed = false }: Format): string {
  if (cell === null || cell === undefined) return '-';
  if (typeof cell === 'string') return cell;
  const values = typeof cell === 'number' ? [cell] : shows.map((quantile) => cell[quantile]);
  return values.map((value) => `${signed && value >= 0 ? '+' : ''}${value.toFixed(digits)}`).join(' / ');
}
