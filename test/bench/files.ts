import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join, resolve } from 'node:path';
import { type Figures, withFigures } from './figures.ts';
import { plotsOf } from './plots.ts';
import type { PartResult, ResultTable, Run } from './result.ts';
import { svgOf } from './svg.ts';
import { textOf } from './text.ts';

// Where results, plots and README.md are read and written.

const root = resolve(import.meta.dirname, '../..');
/** What the repository shows. */
export const ownResults = join(import.meta.dirname, 'results');
/** Where this run's go: `BENCH_RESULTS` names a folder for those that are for nobody else. */
export const resultsFolder = process.env.BENCH_RESULTS ?? ownResults;

/** The results of a folder, one file for each part. */
export function readResults(folder: string): readonly PartResult[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as PartResult);
}

/** Writes what a part found. */
export function writeResult(folder: string, result: PartResult): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${result.part}.json`), `${JSON.stringify(result, null, 1)}\n`);
}

/** Draws the plots that the results of a folder are enough for. Those of the repository stand in README.md, too. */
export function draw(folder: string): readonly string[] {
  const plots = plotsOf(readResults(folder));
  for (const { name, plot } of plots) writeFileSync(join(folder, `${name}.svg`), svgOf(plot));
  if (resolve(folder) === ownResults) writeReadme(plots);
  return plots.map(({ name }) => join(folder, `${name}.svg`));
}

function writeReadme(figures: readonly Figures[]): void {
  const file = join(root, 'README.md');
  writeFileSync(file, withFigures(readFileSync(file, 'utf8'), figures));
}

/** What a part found, with where and when. */
export const resultOf = (part: string, tables: readonly ResultTable[], before: number): PartResult => ({
  part,
  run: runNow(before),
  tables,
});

function runNow(before: number): Run {
  const all = cpus();
  return {
    date: new Date().toISOString(),
    commit: commit(),
    machine: `${all.length} cores (${all[0]?.model.trim()})`,
    kernel: release(),
    node: process.version,
    load: { before, after: loadNow() },
  };
}

/** Processes at work, the mean of the last minute. */
export const loadNow = (): number => Number(loadavg()[0]?.toFixed(1));

/** The checkout's commit, as a result names it. */
export function commit(): string {
  const git = (...words: readonly string[]) => spawnSync('git', words, { cwd: root, encoding: 'utf8' }).stdout ?? '';
  const name = git('rev-parse', '--short', 'HEAD').trim() || 'unknown';
  const changed = git(
    'status',
    '--porcelain',
    '--untracked-files=no',
    '--',
    '.',
    ':!test/bench/results',
    ':!README.md',
  );
  return changed === '' ? name : `${name} and changes`;
}

/** A result as the terminal shows it. */
export function printed({ part, run, tables }: PartResult): string {
  const { date, commit, machine, kernel, node, load } = run;
  const head = `${part}, ${date}, commit ${commit}: ${machine}, Linux ${kernel}, Node ${node}`;
  const busy = `Processes at work in the last minute: ${load.before} before, ${load.after} after`;
  return [head, busy, '', ...tables.map(textOf)].join('\n');
}
