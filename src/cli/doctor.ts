import { counted } from '../base/counted.ts';
import { filesIn } from '../files/file.ts';
import { examine, isHealthy } from '../report/doctor/doctor.ts';
import type { Finding } from '../report/doctor/finding.ts';
import { type CliCommand, toJson } from './command.ts';
import { type ConfOptions, type NodeOptions, onNode, withConfDir } from './options.ts';

interface DoctorOptions extends NodeOptions, ConfOptions {
  readonly binDir: string;
}

/** A line for each finding, one more for each remedy, and one that sums up. */
export function printFindings(findings: readonly Finding[], colors: boolean): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return [...findings.map((finding) => printFinding(finding, width, colors)), `${summary(findings)}\n`].join('');
}

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
  return `${found.join(', ')}, ${count('ok')} ok.`;
}

export const doctorCommand: CliCommand = {
  name: 'doctor',
  summary: 'examine this host: what keeps packets from leaving, with the remedy; exit code 1 when there is a fault',
  options: (command) =>
    withConfDir(onNode(command)).option('--bin-dir <dir>', 'where the runtime looks for plugins', '/opt/cni/bin'),
  run: async (surroundings, options: DoctorOptions) => {
    const { openMachine, openExamination, readFile, write, setExitCode, colors } = surroundings;
    const { confDir, binDir, dataDir } = options;
    using machine = await openMachine(options);
    using tools = await openExamination();
    const { examiner, system } = tools;
    const findings = await examine(machine, { examiner, system, confDir, binDir, dataDir, readFile, filesIn });
    write(options.json ? toJson({ healthy: isHealthy(findings), findings }) : printFindings(findings, colors));
    if (!isHealthy(findings)) setExitCode(1);
  },
};
