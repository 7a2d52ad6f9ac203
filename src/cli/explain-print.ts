import type { Explanation } from './explain.ts';

/** Explanations for a person: the answer, what was considered, what does it, and what else there is to say. */
export const printExplanations = (explanations: readonly Explanation[]): string =>
  explanations.map(printExplanation).join('\n');

function printExplanation({ sentence, considered, kernel, way, notes }: Explanation): string {
  const policies = considered.map(({ policy, exit, words }) => [`  ${policy}`, exit, words]);
  const steps = kernel.map(({ what, text, problem }) => [`  ${what}`, problem ? `${problem}: ${text}` : text]);
  const hop = way?.neighbour ? [['  neighbour', `${way.nextHop ?? 'the destination'} is ${way.neighbour}`]] : [];
  return [
    `${sentence}\n`,
    ...notes.map((note) => `${note}\n`),
    ...section('Policies, in the order in which they decide:', policies),
    ...section('In the kernel:', [...steps, ...hop]),
  ].join('');
}

const section = (title: string, rows: readonly (readonly string[])[]): string[] =>
  rows.length === 0 ? [] : [`${title}\n`, aligned(rows)];

/** Columns, but for the last one, as wide as their longest cell. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}
