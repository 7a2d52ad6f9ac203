import { described, type Figures, footOf } from './figures.ts';
import { middleOf, type PartResult, type ResultTable, tableOf } from './result.ts';
import type { Panel, PlotRow } from './svg.ts';

// The plot of what packets cost.

/** Rows of a measure, as the plot names them. */
interface Shown {
  readonly part: 'throughput' | 'tunnel';
  readonly column: string;
  readonly name: string;
  readonly isOurs: boolean;
}

const shown: readonly Shown[] = [
  { part: 'throughput', column: 'steered : masquerade', name: 'steered : masquerade', isOurs: true },
  { part: 'throughput', column: 'beside steered : masquerade', name: 'beside : masquerade', isOurs: true },
  { part: 'throughput', column: 'nftables : masquerade', name: 'nftables : iptables', isOurs: false },
  { part: 'tunnel', column: 'tunnel : bare VXLAN', name: 'tunnel : bare VXLAN', isOurs: true },
  { part: 'tunnel', column: 'answers directly : bare VXLAN', name: 'direct : bare VXLAN', isOurs: true },
];

const titles: Readonly<Record<string, string>> = {
  'TCP, Gbit/s': 'TCP, one stream',
  'TCP connections/s': 'TCP, new connections',
  'UDP, 1000 packets/s': 'UDP, 64 bytes',
};

/** What pods send with egress, to what they send on the same way without it. */
export function trafficFigures(results: readonly PartResult[]): Figures {
  const tables = results.flatMap((result) => tableOf(result, result.part === 'tunnel' ? 'tunnel' : 'traffic') ?? []);
  const measures = [...new Set(tables.flatMap(({ rows }) => rows.map(({ name }) => name)))];
  const panels = measures.map((measure) => panelOf(measure, results));
  return {
    name: 'traffic',
    plot: {
      title: 'Traffic of a pod with egress : without',
      words:
        'Longer is better; the dashed line is as much as without. Beside: a pod that no policy steers, on a node with steered pods. Direct: answers do not take the tunnel. Grey: two ways to masquerade.',
      panels,
      description: described(panels),
      foot: footOf(results),
    },
    words: inWords(panels),
  };
}

/** The rows without other pods. */
function inWords(panels: readonly Panel[]): string {
  const of = (name: string) => panels.flatMap(({ rows }) => rowOf(rows, name) ?? []).join(', ');
  const all = [
    [`a steered pod sends ${of('steered : masquerade')} of what a masqueraded one does`, of('steered : masquerade')],
    [`through a gateway ${of('tunnel : bare VXLAN')} of what goes through a bare VXLAN`, of('tunnel : bare VXLAN')],
  ] as const;
  const said = all.filter(([, values]) => values !== '').map(([words]) => words);
  return `${panels.map(({ title }) => title).join('; ')}: ${said.join(', ')}.`;
}

const rowOf = (rows: readonly PlotRow[], name: string): string | undefined =>
  rows.find((row) => row.name === name)?.value;

function panelOf(measure: string, results: readonly PartResult[]): Panel {
  const rows = shown.flatMap(({ part, column, name, isOurs }) => {
    const table = tableOf(
      results.find((result) => result.part === part),
      part === 'tunnel' ? 'tunnel' : 'traffic',
    );
    const all = levelsOf(table, measure, column);
    return (isOurs ? all : all.slice(0, 1)).map(({ level, value }) => ({
      name: level === 0 ? name : `… ${level.toLocaleString('en')} more pods`,
      isOurs,
      bar: value,
      marks: [],
      value: value.toFixed(2),
    }));
  });
  return { title: titles[measure] ?? measure, legend: '', reference: 1, rows };
}

/** The values of a column by the number of other pods; 0 where the table does not say. */
function levelsOf(table: ResultTable | undefined, measure: string, column: string) {
  const place = (name: string) => table?.columns.findIndex((each) => each.name === name) ?? -1;
  return (table?.rows ?? [])
    .filter(({ name }) => name === measure)
    .flatMap(({ cells }) => {
      const [level, value] = [cells[place('other pods')], middleOf(cells[place(column)])];
      return value === undefined ? [] : [{ level: typeof level === 'number' ? level : 0, value }];
    });
}
