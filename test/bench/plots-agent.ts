import { described, type Figures, footOf } from './figures.ts';
import { type Cell, cellOf, middleOf, type PartResult, type ResultTable, tableOf } from './result.ts';
import type { Panel, PlotRow } from './svg.ts';
import { formatted } from './text.ts';

// Plots of what agents do.

const slow = ['p50', 'p95'] as const;
const slowest = ['p50', 'p95', 'max'] as const;
const shapes = { p50: 'full', p95: 'hollow', max: 'tick' } as const;

/** A row with a mark for each value of a spread. */
function spreadRow(
  name: string,
  cell: Cell | undefined,
  shows: readonly (keyof typeof shapes)[],
  isOurs = true,
): PlotRow {
  const values = typeof cell === 'object' && cell !== null ? shows.map((key) => ({ key, at: cell[key] })) : [];
  return {
    name,
    isOurs,
    marks: values.map(({ key, at }) => ({ shape: shapes[key], at })),
    value: formatted(cell, { digits: 0, shows }),
  };
}

/** How long an exit is not to be had, beside keepalived. */
export function failoverFigures(failover: PartResult): Figures {
  const table = tableOf(failover, 'failover');
  const panels = [
    faultPanel(table, 'Longest time without a packet, ms', 'no packet', 'keepalived alone'),
    faultPanel(table, 'Slowest of 100 open connections, ms', 'last of 100 connections'),
  ];
  return {
    name: 'failover',
    plot: {
      title: 'A gateway fails: how long its pods wait',
      words:
        'Further left is better. An agent that is killed or hangs moves nothing: the kernel of the gateway goes on.',
      panels,
      description: described(panels),
      foot: footOf([failover]),
    },
    words: failoverWords(table),
  };
}

function failoverWords(table: ResultTable | undefined): string {
  const sum = (column: string) =>
    (table?.rows ?? []).reduce((total, { name }) => total + (middleOf(cellOf(table, name, column)) ?? 0), 0);
  const rounds = sum('rounds');
  const kinds = table?.rows.length ?? 0;
  return `${rounds} faults of ${kinds} kinds: ${sum('with another source')} packets with another source, ${sum(
    'connections lost',
  )} of ${100 * rounds} connections lost. An agent that is killed or hangs moves nothing.`;
}

function faultPanel(table: ResultTable | undefined, title: string, column: string, beside?: string): Panel {
  const rows = (table?.rows ?? []).map(({ name }) =>
    spreadRow(name.replace(/^its |^it is /, ''), cellOf(table, name, column), slowest),
  );
  const [first] = table?.rows ?? [];
  const other = beside === undefined ? undefined : cellOf(table, first?.name ?? '', beside);
  const [cables, ...more] = rows;
  const peer = other ? [spreadRow('keepalived, the same', other, slowest, false)] : [];
  return {
    title,
    legend: 'Full: p50; hollow: p95; stroke: the longest',
    rows: [...(cables === undefined ? [] : [cables]), ...peer, ...more],
  };
}

/** What an agent costs, and how fast it is. */
export function agentFigures(agent: PartResult): Figures {
  const [add, rest, flush, change] = ['add', 'rest', 'flush', 'change'].map((name) => tableOf(agent, name));
  const panels = [
    {
      title: 'ADD of a pod, ms',
      legend: 'Full: p50; hollow: p95',
      rows: (add?.rows ?? []).map(({ name }) => spreadRow(name, cellOf(add, name, 'time'), slow, name !== 'no agent')),
    },
    {
      title: `${flush?.title ?? 'A flushed ruleset'}: ms`,
      legend: 'Full: p50; hollow: p95',
      rows: [
        spreadRow('all is back', firstCell(flush, /^from the command/), slow),
        spreadRow('no packet of a pod', firstCell(flush, /^longest time/), slow),
      ],
    },
    {
      title: `${rest?.title ?? 'An agent at rest'}: memory of its own, MiB`,
      legend: '',
      rows: (rest?.rows ?? [])
        .slice(0, 2)
        .map(({ cells }, i) => barRow(['local exits', 'a gateway'][i] ?? '', cells.at(-1))),
    },
  ];
  const perPod = formatted(firstCell(change, /^of one pod/), {});
  const whole = formatted(firstCell(change, /^from the file/), { digits: 2 });
  const cores = (rest?.rows ?? []).slice(0, 2).map(({ cells }) => formatted(cells[0], { digits: 2 }));
  return {
    name: 'agent',
    plot: {
      title: 'The agent on a node',
      words: 'Further left is better.',
      panels,
      description: described(panels),
      foot: footOf([agent]),
    },
    words: `At rest ${cores[0]} % of a core, of a gateway ${cores[1]} %. ${change?.title ?? 'Another exit'}: ${whole} s, ${perPod} ms for each.`,
  };
}

const firstCell = (table: ResultTable | undefined, name: RegExp): Cell | undefined =>
  table?.rows.find((row) => name.test(row.name))?.cells[0];

function barRow(name: string, cell: Cell | undefined): PlotRow {
  const value = middleOf(cell) ?? 0;
  return { name, isOurs: true, bar: value, marks: [], value: value.toFixed(1) };
}
