import { lineOf, type Problem } from '../config/problem.ts';
import { importDocuments } from '../import/import.ts';
import { type ImportFlags, judgeOptions } from '../import/options.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { contentOf, type Parsed, parseDocuments } from './documents.ts';

type Surroundings = Pick<CliSurroundings, 'readFile' | 'setExitCode' | 'write' | 'remark'>;

/**
 * `egress import`: prints a policy file made of other programs' policies, with notes about settings without
 * counterpart.
 */
async function importFiles(files: readonly string[], flags: ImportFlags, around: Surroundings): Promise<void> {
  const options = judgeOptions(flags);
  const documents = (await Promise.all(files.map((file) => documentsOf(file, around)))).flat();
  const inText = documents.flatMap(({ problems }) => problems);
  const before = [...('problems' in options ? options.problems : []), ...inText];
  if ('problems' in options || before.length > 0) return refuse(before, [], around);
  const { document, errors, warnings } = importDocuments(documents, options.value);
  const allWarnings = [...documents.flatMap((each) => each.warnings), ...warnings];
  if (document === undefined) return refuse(errors, allWarnings, around);
  say(allWarnings, 'warning: ', around);
  around.write(toJson(document));
}

interface InFile extends Parsed {
  readonly file: string;
  readonly position: number;
}

async function documentsOf(file: string, { readFile }: Surroundings): Promise<InFile[]> {
  const text = contentOf(file, readFile);
  const parsed =
    typeof text === 'string'
      ? await parseDocuments(file, text)
      : [{ value: undefined, problems: [text], warnings: [] }];
  return parsed.map((each, i) => ({ ...each, file, position: i + 1 }));
}

function refuse(errors: readonly Problem[], warnings: readonly Problem[], around: Surroundings): void {
  say(errors, '', around);
  say(warnings, 'warning: ', around);
  around.setExitCode(1);
}

function say(problems: readonly Problem[], prefix: string, { remark }: Surroundings): void {
  for (const problem of problems) remark(`${prefix}${lineOf(problem)}\n`);
}

/** Collects an option that may be given several times. */
const oneMore = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export const importCommand: CliCommand = {
  name: 'import',
  summary: 'make a policy file of egress policies of Cilium and of Services of kube-vip; print it as JSON',
  options: (command) =>
    command
      .argument('<file...>', 'files of Kubernetes objects, in YAML or JSON')
      .option('--gateway <address>', 'underlay address of a gateway, the preferred one first; repeatable', oneMore)
      .option('--node <address>', 'underlay address of a node, or a range of them; repeatable', oneMore)
      .option('--address <address>', 'address that pods leave with, where a file names none; repeatable', oneMore)
      .option('--interface <name>', 'interface that pods leave by, where a file names none')
      .option('--next-hop <address>', 'router behind the interface, one of each family; repeatable', oneMore)
      .option('--cluster-cidr <range>', 'range of pods or services, which is never steered; repeatable', oneMore),
  run: (surroundings, files: string[], flags: ImportFlags) => importFiles(files, flags, surroundings),
};
