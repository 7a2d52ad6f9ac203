import { describe } from '../datapath/describe.ts';
import { printChanges } from '../datapath/print.ts';
import { announceNew } from '../gateway/reconcile.ts';
import { planRepair, type Repair, repair } from '../node/repair.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { onNode, withDryRun } from './options.ts';
import { tellEnding } from './work.ts';

/** Options of the command. */
export interface RepairOptions {
  readonly dataDir: string;
  readonly dryRun?: true;
  readonly json?: true;
}

/** The repairs, done or planned, in sentences; the failures; and with `--dry-run` the commands. */
export interface RepairReport {
  readonly mended: readonly string[];
  readonly failures: readonly { readonly of: string; readonly problem: string }[];
  readonly commands: string;
}

/** `egress repair`: makes all that is set up on this node as the records say; exit code 1 when something could not be. */
async function repairNode(options: RepairOptions, surroundings: CliSurroundings): Promise<void> {
  using opened = await surroundings.openMachine(options);
  using work = surroundings.openWork(!options.dryRun);
  const machine = { ...opened, onward: work.onward };
  const report = reportOf(options.dryRun ? await planRepair(machine) : await repairNow(), options.dryRun === true);
  if (report.failures.length > 0) surroundings.setExitCode(1);
  tellEnding(work, surroundings);
  surroundings.write(options.json ? toJson(report) : printRepair(report, options.dryRun === true));

  async function repairNow(): Promise<Repair> {
    using _lock = await machine.store.lock();
    const done = await repair(machine);
    await announceNew(machine, done.changes);
    return done;
  }
}

const reportOf = ({ changes, failures }: Repair, dryRun: boolean): RepairReport => ({
  mended: changes.flatMap(describe),
  failures: failures.map(({ of, error }) => ({ of, problem: error.message })),
  commands: dryRun ? printChanges(changes) : '',
});

/** The commands, or one line for each mended object; then one for each failure, and a sum. */
function printRepair({ mended, failures, commands }: RepairReport, dryRun: boolean): string {
  const things = `${mended.length} ${mended.length === 1 ? 'thing' : 'things'}`;
  const sum = mended.length === 0 ? 'Nothing was wrong.' : `${things} ${dryRun ? 'would be' : 'were'} mended.`;
  const failed = failures.map(({ of, problem }) => `${of}: ${problem}`);
  const last =
    failures.length > 0 ? `${failures.length} could not be mended; ${things} ${dryRun ? 'would be' : 'were'}.` : sum;
  const done = dryRun ? (commands === '' ? [] : [commands.trimEnd()]) : mended.map((what) => `Mended: ${what}`);
  return [...done, ...failed, last, ''].join('\n');
}

export const repairCommand: CliCommand = {
  name: 'repair',
  summary: 'set up again what is missing or different; exit code 1 when not all could be',
  options: (command) => withDryRun(onNode(command)),
  run: (surroundings, options: RepairOptions) => repairNode(options, surroundings),
};
