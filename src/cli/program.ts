import { Command } from 'commander';
import { adoptCommand } from './adopt.ts';
import { agentCommand } from './agent.ts';
import { checkCommand } from './check.ts';
import type { CliCommand, CliSurroundings } from './command.ts';
import { completionCommand, manCommand } from './completion.ts';
import { doctorCommand } from './doctor.ts';
import { explainCommand } from './explain.ts';
import { exitMoveCommand, gatewayCommand } from './gateway.ts';
import { gcCommand } from './gc.ts';
import { helpCommand } from './help.ts';
import { importCommand } from './import.ts';
import { installCommand, readyCommand } from './install.ts';
import { mapCommand } from './map.ts';
import { repairCommand } from './repair.ts';
import { statusCommand } from './status.ts';
import { traceCommand } from './trace.ts';
import { uninstallCommand } from './uninstall.ts';
import { validateCommand } from './validate.ts';
import { versionCommand } from './version.ts';
import { whoCommand } from './who.ts';

/** The commands in the order of `egress --help`. */
const commands: readonly CliCommand[] = [
  statusCommand,
  mapCommand,
  checkCommand,
  doctorCommand,
  whoCommand,
  gcCommand,
  repairCommand,
  explainCommand,
  traceCommand,
  adoptCommand,
  gatewayCommand,
  agentCommand,
  exitMoveCommand,
  validateCommand,
  importCommand,
  installCommand,
  readyCommand,
  uninstallCommand,
  helpCommand,
  versionCommand,
];

/** Commands that have others below them. */
const groups: Readonly<Record<string, string>> = { exit: 'look after exits' };

/** The commands for people. */
export function commandLine(surroundings: CliSurroundings): Command {
  const program = new Command('egress')
    .description(
      'Decides how each pod’s traffic leaves the cluster: a chained CNI plugin, and the commands to look after it',
    )
    .helpCommand(false)
    .option('-V, --version', 'the same as egress version')
    .exitOverride() // into an error: how the process ends is decided in one place
    .configureOutput({ writeOut: surroundings.write });
  for (const command of [...commands, completionCommand(program), manCommand(program)]) {
    add(program, command, surroundings);
  }
  return program;
}

/** `--version` is what everybody tries, and `version` the command. */
export const withVersion = ([first = '', ...more]: readonly string[]): readonly string[] =>
  first === '--version' || first === '-V' ? ['version', ...more] : first === '' ? more : [first, ...more];

function add(program: Command, { name, summary, options, run }: CliCommand, surroundings: CliSurroundings): void {
  const [last = name, ...group] = name.split(' ').reverse();
  const parent = group.reduceRight(groupIn, program);
  // Behind its arguments and options, commander gives the command itself.
  options(parent.command(last).description(summary)).action((...words) => run(surroundings, ...words.slice(0, -1)));
}

const groupIn = (parent: Command, name: string): Command =>
  parent.commands.find((known) => known.name() === name) ?? parent.command(name).description(groups[name] ?? '');
