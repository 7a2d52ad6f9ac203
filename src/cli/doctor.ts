import { counted } from '../base/counted.ts';
import { EgressError } from '../base/errors.ts';
import { filesIn, isThere, writeDurably } from '../files/file.ts';
import type { Onward } from '../node/machine.ts';
import { type BundlePart, bundleOf, leftOut } from '../report/doctor/bundle.ts';
import { examine, isHealthy } from '../report/doctor/doctor.ts';
import type { Finding } from '../report/doctor/finding.ts';
import type { DoctorReport } from '../report/doctor/schema.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { type ConfOptions, type NodeOptions, onNode, withConfDir } from './options.ts';

interface DoctorOptions extends NodeOptions, ConfOptions {
  readonly binDir: string;
  readonly bundle?: string;
}

/** A line for each finding, one more for each remedy, and one that sums up. */
export function printFindings(findings: readonly Finding[], colors: boolean): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return [...findings.map((finding) => printFinding(finding, width, colors)), `${summary(findings)}\n`].join('');
}

const whereNext =
  'If a pod does not leave all the same: egress trace POD DESTINATION shows where its next packet goes.';

/** SGR: green, yellow, red. */
const colours = { ok: 32, warning: 33, fault: 31 } as const;
const words = { ok: 'ok', warning: 'warning', fault: 'FAULT' } as const;

function printFinding(finding: Finding, width: number, colors: boolean): string {
  const { status, check, text } = finding;
  const word = words[status].padEnd('warning'.length);
  const shown = colors ? `\x1b[${colours[status]}m${word}\x1b[39m` : word;
  const remedy = finding.status === 'ok' ? '' : `${' '.repeat('warning'.length + width + 4)}→ ${finding.remedy}\n`;
  return `${shown}  ${check.padEnd(width)}  ${text}\n${remedy}`;
}

function summary(findings: readonly Finding[]): string {
  const count = (wanted: Finding['status']) => findings.filter(({ status }) => status === wanted).length;
  const found = [counted(count('fault'), 'fault'), counted(count('warning'), 'warning')];
  const onward = count('fault') > 0 ? '' : `\n${whereNext}`;
  return `${found.join(', ')}, ${count('ok')} ok.${onward}`;
}

/** Nothing is written over: the name may be a slip. */
function requireNew(file: string): void {
  if (!isThere(file)) return;
  throw new EgressError('invalid-argument', `--bundle: expected the name of a new file, and ${file} is there already`);
}

/** With --json the list goes to stderr. */
function writeBundle(file: string, parts: readonly BundlePart[], { remark }: Pick<CliSurroundings, 'remark'>): void {
  const text = toJson(Object.fromEntries(parts.map(({ name, content }) => [name, content])));
  const width = Math.max(...parts.map(({ name }) => name.length));
  const lines = parts.map(({ name, what }) => `  ${name.padEnd(width)}  ${what}\n`);
  const size = `${Math.ceil(Buffer.byteLength(text) / 1024)} KiB`;
  remark(`${file} (${size}) holds, and nothing else:\n${lines.join('')}Left out: ${leftOut}.\n`);
  writeDurably(file, text);
}

/** What is told meanwhile is gone before the findings come. */
async function examineWith<T>(open: CliSurroundings['openWork'], action: (onward: Onward) => Promise<T>): Promise<T> {
  using work = open(false);
  work.tell('Examining this host');
  return await action(work.onward);
}

export const doctorCommand: CliCommand = {
  name: 'doctor',
  summary: 'examine this host: what keeps packets from leaving, with the remedy; exit code 1 when there is a fault',
  options: (command) =>
    withConfDir(onNode(command))
      .option('--bin-dir <dir>', 'where the runtime looks for plugins', '/opt/cni/bin')
      .option('--bundle <file>', 'write a new file for a bug report, without secrets; what it holds is listed first'),
  run: async (surroundings, options: DoctorOptions) => {
    const { version, openMachine, openExamination, openWork, readFile, write, setExitCode, colors } = surroundings;
    if (options.bundle) requireNew(options.bundle);
    const { confDir, binDir, dataDir } = options;
    using machine = await openMachine(options);
    using tools = await openExamination();
    const { examiner, system } = tools;
    using host = machine.host.look();
    const where = { examiner, system, confDir, binDir, dataDir, readFile, filesIn };
    const examined = await examineWith(openWork, (onward) => examine(machine, host, { ...where, onward }));
    const { findings } = examined;
    const report: DoctorReport = { healthy: isHealthy(findings), findings };
    write(options.json ? toJson(report) : printFindings(findings, colors));
    if (options.bundle) writeBundle(options.bundle, await bundleOf(version, machine, examined), surroundings);
    if (!isHealthy(findings)) setExitCode(1);
  },
};
