import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeExecutable } from '../../install/executable.ts';
import { Lab } from '../support/lab.ts';
import { egressBinary } from '../support/tools.ts';
import { callsOf, countCalls } from './calls.ts';
import { Gauge, type Usage } from './gauge.ts';
import { BenchNode, type BenchPod } from './node.ts';
import { earlierBinary, egress } from './plugins.ts';
import type { Command } from './process.ts';
import { type Column, type ResultTable, ratioColumn, ratioOf, spreadOf } from './result.ts';
import { roundsOf } from './statistics.ts';

const rounds = roundsOf(15);
/** Not counted: files come into the cache. */
const warmUps = 1;

/** One row of the table: a call, what it took in each round, and how many system calls it made. */
interface Row {
  readonly name: string;
  readonly command: Command;
  readonly usages: Usage[];
  systemCalls?: number;
}

/** Measures what a call takes beside an empty Node. */
export async function measureStart(): Promise<readonly ResultTable[]> {
  await using lab = await Lab.create();
  const folder = mkdtempSync(join(tmpdir(), 'egress-bench-'));
  try {
    const programs = [['', egressBinary], ...(earlierBinary === undefined ? [] : [[', earlier build', earlierBinary]])];
    const empty = [
      rowOf('an empty Node', { program: process.execPath, args: ['-e', '0'] }),
      rowOf('an empty binary', { program: await emptyBinary(folder) }),
    ];
    const all = [await subjectOf(lab, empty)];
    for (const [title = '', binary = ''] of programs)
      all.push(await subjectOf(lab, [], { title, binary: asInstalled(folder, binary) }));
    return [await measure(all)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const rowOf = (name: string, command: Command): Row => ({ name, command, usages: [] });

/** What a program takes that was made as ours is, and ends at once. */
async function emptyBinary(folder: string): Promise<string> {
  const main = join(folder, 'main.js');
  writeFileSync(main, "require('node:v8').startupSnapshot.setDeserializeMainFunction(() => process.exit(0));\n");
  return asInstalled(folder, makeExecutable(folder, { main, parts: new Map() }));
}

/**
 * A copy, as the installer makes one. Of a file that a build has just written in one go the kernel holds pages in larger pieces,
 * and a process that touches one has all of a piece: 14 MiB more are resident.
 */
function asInstalled(folder: string, binary: string): string {
  const copy = join(mkdtempSync(join(folder, 'copy-')), 'egress');
  copyFileSync(binary, copy);
  return copy;
}

/** Rows that have a node of their own. */
interface Subject {
  readonly rows: readonly Row[];
  readonly node: BenchNode;
  readonly pods: readonly BenchPod[];
  readonly gauge: Gauge;
}

async function subjectOf(lab: Lab, more: readonly Row[], of?: { title: string; binary: string }): Promise<Subject> {
  const node = await BenchNode.create(lab, lab.unique('start'));
  const [steered, other, present] = await node.plug(await lab.namespace(lab.unique('start-pods')), 3);
  if (steered === undefined || other === undefined || present === undefined) throw new Error('There are no pods');
  const gauge = new Gauge(node.machine);
  if (of === undefined) return { rows: more, node, pods: [], gauge };
  const { title, binary } = of;
  await gauge.usageOf(egress(node, 'ADD', present, { binary })); // a node with a steered pod: its chains stay
  const rows = callsOf(node, { steered, other }, binary).map(({ name, command }) => rowOf(name + title, command));
  return { rows, node, pods: [steered], gauge };
}

/** Rounds in which each row has its turn, and a last one for the system calls. */
async function measure(subjects: readonly Subject[]): Promise<ResultTable> {
  for (let round = 0; round < warmUps + rounds; round++) {
    for (const { rows, node, pods, gauge } of subjects) {
      for (const { command, usages } of rows) {
        const usage = await gauge.usageOf(command);
        if (round >= warmUps) usages.push(usage);
      }
      await node.raise(pods);
    }
  }
  for (const { rows, gauge } of subjects)
    for (const row of rows) row.systemCalls = await countCalls(gauge, row.command);
  for (const { gauge } of subjects) await gauge.end();
  return tableOf(subjects.flatMap(({ rows }) => rows));
}

const columns: readonly (Column & { readonly of: keyof Usage })[] = [
  { of: 'cpu', name: 'processor', unit: 'ms' },
  { of: 'wall', name: 'wall', unit: 'ms' },
  { of: 'memory', name: 'memory', unit: 'MiB' },
];

/** The ratios are to the first row. */
function tableOf(rows: readonly Row[]): ResultTable {
  const of = (row: Row | undefined, key: keyof Usage) => (row?.usages ?? []).map((usage) => usage[key]);
  return {
    name: 'calls',
    title: 'call',
    columns: [
      ...columns.flatMap(({ of: _, ...column }) => [column, ratioColumn(`empty, ${column.name}`)]),
      { name: 'page faults', digits: 0 },
      { name: 'system calls', digits: 0 },
    ],
    rows: rows.map((row) => ({
      name: row.name,
      cells: [
        ...columns.flatMap(({ of: key }) => [spreadOf(of(row, key)), ratioOf(of(row, key), of(rows[0], key))]),
        spreadOf(of(row, 'faults')),
        row.systemCalls ?? null,
      ],
    })),
  };
}
