import { hostname, machine, uptime } from 'node:os';
import { asEgressError, EgressError } from '../src/base/errors.ts';
import type { Screen } from '../src/cli/command.ts';
import { lockFile } from '../src/kernel/lock.ts';
import { exchangeFiles } from '../src/kernel/netlink/libc.ts';
import { findMissingRights } from '../src/kernel/rights.ts';
import { findSysctlsIn } from '../src/kernel/sysctl.ts';
import { askLabels } from './ask-labels.ts';
import { electionCommand, fastPathCommand } from './children.ts';
import { isClaimed } from './claim.ts';
import { openCluster } from './cluster.ts';
import { requireDataDir } from './data-dir.ts';
import { end } from './end.ts';
import { explain } from './explain.ts';
import { inRootCommand, runInRoot, tryInRoot } from './in-root.ts';
import { openMachine, readFile } from './machine.ts';
import { optimize } from './optimize.ts';
import { writeOut } from './output.ts';
import { openService } from './service.ts';
import { version } from './version.ts';
import { clearLine, openWork } from './work.ts';

/** A person calls: words in, text on stdout, errors on stderr. Exit codes: 0 fine, 1 something is wrong, 2 called wrongly. */
export async function operate(words: readonly string[]): Promise<never> {
  optimize();
  end(await runAsOperator(words));
}

async function runAsOperator(words: readonly string[]): Promise<number> {
  if (words[0] === inRootCommand) return runInRoot(words.slice(1));
  if (words[0] === electionCommand) return await (await import('./election.ts')).runElection();
  if (words[0] === fastPathCommand) return await (await import('./fast-path.ts')).runFastPath();
  // Loaded only now: a runtime does not need the parser of command lines.
  const { commandLine, withVersion } = await import('../src/cli/program.ts');
  let exitCode = 0;
  const program = commandLine({
    version,
    write: writeText,
    remark: (text) => {
      clearLine();
      process.stderr.write(text);
    },
    setExitCode: (code) => {
      exitCode = code;
    },
    colors: process.stdout.isTTY === true && !process.env.NO_COLOR,
    get screen() {
      return screenOf(process.stdout);
    },
    hostName: hostname(),
    sinceBoot: () => ({ boot: readFile('/proc/sys/kernel/random/boot_id')?.trim() ?? '', uptime: uptime() }),
    openMachine,
    readFile,
    askLabels,
    openService,
    openWork,
    findMissingRights,
    worked,
    openExamination,
    isClaimed,
    get cluster() {
      return openCluster();
    },
    hostTools: {
      program: process.execPath,
      machine: machine(),
      lockFile,
      exchange: exchangeFiles,
      tryInRoot,
      now: () => performance.now(),
    },
  });
  program.hook('preAction', (_, command) => requireDataDir(command));
  const { EGRESS_PROC_SYS: parameters } = process.env;
  try {
    if (parameters) findSysctlsIn(parameters);
    await program.parseAsync([...withVersion(words)], { from: 'user' });
  } catch (error) {
    if (isUsage(error)) return error.exitCode === 0 ? 0 : 2; // the parser has told the person already
    // Who reads by `| head` has read what they wanted.
    if (isClosedPipe(error)) return 1;
    process.stderr.write(`${explain(error)}\n`);
    return error instanceof EgressError && error.code === 'invalid-argument' ? 2 : 1;
  }
  return exitCode;
}

/** Milliseconds of a processor that this thread had so far. */
function worked(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** A terminal that does not know its size says 0. */
function screenOf({ isTTY, columns, rows }: typeof process.stdout): Screen | undefined {
  return isTTY && columns > 0 && rows > 0 && process.env.TERM !== 'dumb' ? { columns, rows } : undefined;
}

/** Loaded only now: the plugin needs none of it. */
async function openExamination() {
  const { LinuxExaminer } = await import('../src/kernel/examine/examiner.ts');
  const { openSystem } = await import('./system.ts');
  const examiner = new LinuxExaminer();
  return { examiner, system: openSystem(), [Symbol.dispose]: () => examiner[Symbol.dispose]() };
}

/** All of a text, however slow its reader is. Throws `io-failure`. */
function writeText(text: string): void {
  clearLine();
  const { problem } = writeOut(Buffer.from(text));
  if (problem === undefined) return;
  const message = `Nobody can be told on stdout: ${asEgressError(problem).message}`;
  throw new EgressError('io-failure', message, { cause: problem });
}

const isClosedPipe = (error: unknown): boolean =>
  error instanceof EgressError && (error.cause as { code?: unknown } | undefined)?.code === 'EPIPE';

/** An error of the command line's parser: for mistakes, and for help and versions with the exit code 0. */
const isUsage = (error: unknown): error is { readonly exitCode: number } =>
  error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number';
