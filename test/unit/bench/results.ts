import { type PartResult, type ResultTable, type Row, ratioColumn, ratioOf, spreadOf } from '../../bench/result.ts';

// Results with round numbers that nobody measured, for tests of tables and plots.

const run = {
  date: '2026-01-02T03:04:05.000Z',
  commit: 'abcdef0',
  machine: '2 cores (a processor)',
  kernel: '6.18.0',
  node: 'v24.0.0',
  load: { before: 0.1, after: 1.5 },
};

/** Result of a part. */
export const partOf = (part: string, ...tables: readonly ResultTable[]): PartResult => ({ part, run, tables });

const series = (...values: readonly number[]) => spreadOf(values);

/** Calls, of this build and an earlier one. */
export const start = partOf('start', {
  name: 'calls',
  title: 'call',
  columns: [
    { name: 'processor', unit: 'ms' },
    ratioColumn('empty, processor'),
    { name: 'wall', unit: 'ms' },
    ratioColumn('empty, wall'),
  ],
  rows: [
    ['an empty Node', 10, 20],
    ['an empty binary', 11, 21],
    ['VERSION', 15, 30],
    ['ADD', 20, 50],
    ['VERSION, earlier build', 17, 31],
    ['ADD, earlier build', 35, 70],
  ].map(([name, processor, wall]) => ({
    name: String(name),
    cells: [
      series(Number(processor)),
      ratioOf([Number(processor)], [10]),
      series(Number(wall)),
      ratioOf([Number(wall)], [20]),
    ],
  })),
});

const callsOf = (name: string, factor: number): ResultTable => ({
  name,
  title: name,
  columns: [
    { name: '0 pods', unit: 'ms', shows: ['p50', 'p95'] },
    { name: '1000 pods', unit: 'ms', shows: ['p50', 'p95'] },
    ratioColumn('portmap, 0'),
    ratioColumn('portmap, 1000'),
  ],
  rows: [
    ['portmap', 30, 300],
    ['nft and ip by hand', 8, 9],
    ['egress', 100, 99],
    ['egress, earlier build', 120, 118],
    ['egress, pod without a policy', 70, 71],
    ['empty Node', 40, 41],
  ].map(([name, few, many]) => ({
    name: String(name),
    cells: [
      series(Number(few) * factor, Number(few) * factor + 8),
      series(Number(many) * factor),
      ratioOf([Number(few)], [30]),
      ratioOf([Number(many)], [300]),
    ],
  })),
});

/** ADD and DEL beside others. */
export const add = partOf('add', callsOf('ADD', 1), callsOf('DEL', 2));

const measures = ['TCP, Gbit/s', 'TCP connections/s', 'UDP, 1000 packets/s'];

/** Traffic without and with 10,000 other pods. */
export const throughput = partOf('throughput', {
  name: 'traffic',
  title: '',
  columns: [
    { name: 'other pods', digits: 0 },
    ...['steered', 'beside steered', 'nftables'].map((name) => ({
      ...ratioColumn(''),
      name: `${name} : masquerade`,
    })),
  ],
  rows: [0, 10_000].flatMap((level) =>
    measures.map((name): Row => ({ name, cells: [level, ...[0.8, 0.9, 1.01].map((value) => series(value))] })),
  ),
});

/** Traffic through the tunnel. */
export const tunnel = partOf('tunnel', {
  name: 'tunnel',
  title: '',
  columns: ['tunnel', 'answers directly'].map((name) => ({ ...ratioColumn(''), name: `${name} : bare VXLAN` })),
  rows: measures.map((name): Row => ({ name, cells: [series(0.7), series(0.75)] })),
});

const longest = { unit: 'ms', digits: 0, shows: ['p50', 'p95', 'max'] } as const;

/** Faults of a gateway. */
export const failover = partOf('failover', {
  name: 'failover',
  title: 'the gateway that has the addresses:',
  columns: [
    { name: 'rounds', digits: 0 },
    { name: 'no packet', ...longest },
    { name: 'last of 100 connections', ...longest },
    { name: 'connections lost', digits: 0 },
    { name: 'with another source', digits: 0 },
    { name: 'keepalived alone', ...longest },
  ],
  rows: ['its cables are out', 'its agent is told to stop', 'its agent is killed'].map((name, i) => ({
    name,
    cells: [...[3, series(90, 100, 400), series(200, 210, 800), i, 0], i === 0 ? series(3000, 3100, 3600) : null],
  })),
});

const lines = (name: string, ...rows: readonly (readonly [string, Row['cells'][number]])[]): ResultTable => ({
  name,
  title: name,
  columns: [{ name: '' }],
  rows: rows.map(([row, cell]) => ({ name: row, cells: [cell] })),
});

/** An agent. */
export const agent = partOf(
  'agent',
  lines('change', ['from the file to the last pod, s: p50 / max', series(8, 9)], ['of one pod, ms', series(8, 9)]),
  {
    name: 'rest',
    title: 'An agent at rest, 250 pods, 60 s',
    columns: [
      { name: 'of a core', unit: '%' },
      { name: 'of it its own', unit: 'MiB' },
    ],
    rows: ['exits of its own, 1 process', 'gateway that elects: agent and elections, 2 processes', 'later'].map(
      (name, i) => ({ name, cells: [i / 4, 30 * (i + 1)] }),
    ),
  },
  lines(
    'flush',
    ['from the command to “put back”, ms: p50 / p95', series(150, 160)],
    ['longest time without a packet of a pod, ms: p50 / p95', series(170, 190)],
  ),
  {
    name: 'add',
    title: 'ADD, 250 pods',
    columns: [{ name: 'time', unit: 'ms', shows: ['p50', 'p95'] }, ratioColumn('no agent')],
    rows: ['no agent', 'an agent at rest', 'an agent at work'].map((name, i) => ({
      name,
      cells: [series(100 + 50 * i, 110 + 60 * i), ratioOf([100 + 50 * i], [100])],
    })),
  },
);

/** One of each part that a plot is made of. */
export const allParts: readonly PartResult[] = [start, add, throughput, tunnel, failover, agent];
