import { described, type Figures, footOf } from './figures.ts';
import { cellOf, middleOf, type PartResult, type ResultTable, type Row, tableOf } from './result.ts';
import type { Panel, PlotRow } from './svg.ts';

// Plots of what calls take.

const earlierMark = ', earlier build';
const isEarlier = ({ name }: Row): boolean => name.endsWith(earlierMark);

/** Processor and wall time of calls beside an empty Node. */
export function startFigures(start: PartResult): Figures {
  const table = tableOf(start, 'calls');
  const panels = (['processor', 'wall'] as const).map((kind) => ratioPanel(table, kind));
  const [processor] = panels;
  const isCompared = table?.rows.some(isEarlier) ?? false;
  const values = processor?.rows.filter(({ isOurs }) => isOurs).map(({ name, value }) => `${name} ${value}`);
  return {
    name: 'start',
    plot: {
      title: 'What a call takes, beside an empty Node.js',
      words: 'Shorter is better. Each bar is a ratio; Node.js that starts and ends at once is 1.00.',
      panels,
      description: described(panels),
      foot: footOf([start]),
    },
    words: `Processor time of a call, an empty Node.js process being 1.00${
      isCompared ? ' (in brackets: an earlier build)' : ''
    }: ${values?.join(', ')}. ADD starts a pod, DEL ends it.`,
  };
}

function ratioPanel(table: ResultTable | undefined, kind: 'processor' | 'wall'): Panel {
  const column = `: empty, ${kind}`;
  const ratio = (name: string) => middleOf(cellOf(table, name, column));
  const rows = (table?.rows ?? []).slice(1).filter((row) => !isEarlier(row));
  return {
    title: kind === 'processor' ? 'Processor time' : 'Time that passes',
    legend: `Dashed line: an empty Node.js process${table?.rows.some(isEarlier) ? '. Upright stroke: an earlier build' : ''}`,
    reference: 1,
    rows: rows.map(({ name }): PlotRow => {
      const [now, earlier] = [ratio(name) ?? 0, ratio(`${name}${earlierMark}`)];
      return {
        name,
        isOurs: name !== 'an empty binary',
        bar: now,
        marks: earlier === undefined ? [] : [{ shape: 'tick', at: earlier }],
        value: `${now.toFixed(2)}${earlier === undefined ? '' : ` (${earlier.toFixed(2)})`}`,
      };
    }),
  };
}

/** ADD and DEL beside other plugins, on nodes with no other pods and with the most. */
export function addFigures(add: PartResult): Figures {
  const tables = ['ADD', 'DEL'].map((name) => tableOf(add, name)).filter((table) => table !== undefined);
  const levels = (tables[0]?.columns ?? []).map(({ name }) => name).filter((name) => / pods$/.test(name));
  const [least = '', most = ''] = [levels[0], levels.at(-1)];
  const panels = tables.map((table) => growthPanel(table, least, most));
  const shownFor = (name: string) => panels[0]?.rows.find((row) => row.name === name)?.value;
  return {
    name: 'add',
    plot: {
      title: 'ADD and DEL of a pod beside other plugins',
      words: `Milliseconds, p50: further left is better. A short line: it grows little with the pods of the node.`,
      panels,
      description: `From a node with ${least} to one with ${most}. ${described(panels)}`,
      foot: footOf([add]),
    },
    words: `ADD from ${least} to ${most} on the node, ms: steered ${shownFor('egress')}, without a policy ${shownFor(
      'egress, pod without a policy',
    )}, portmap by iptables ${shownFor('portmap')}, an empty Node.js process ${shownFor('empty Node')}.`,
  };
}

function growthPanel(table: ResultTable, least: string, most: string): Panel {
  return {
    title: `${table.name}, ms`,
    legend: `Hollow: with ${least}; full: with ${most}`,
    rows: table.rows
      .filter((row) => !isEarlier(row))
      .map(({ name }) => {
        const [few, many] = [least, most].map((column) => middleOf(cellOf(table, name, column)) ?? 0) as [
          number,
          number,
        ];
        return {
          name,
          isOurs: name.startsWith('egress'),
          marks: [
            { shape: 'hollow', at: few },
            { shape: 'full', at: many },
          ],
          value: `${few.toFixed(0)} → ${many.toFixed(0)}`,
        };
      }),
  };
}
