import { Option } from 'commander';
import { normalForm } from '../config/normal.ts';
import { lineOf, type Problem } from '../config/problem.ts';
import { judgePolicy } from '../config/read.ts';
import type { PolicyDocument } from '../config/schema.ts';
import { warningsOf } from '../config/warnings.ts';
import { type CliCommand, type CliSurroundings, toJson } from './command.ts';
import { contentOf, isYaml, parseDocument } from './documents.ts';
import { withLines } from './lines.ts';
import { withJson } from './options.ts';

/** Options of the command. */
export interface ValidateOptions {
  readonly json?: true;
  readonly print?: true;
}

/** The remarks about a policy file. */
interface Verdict {
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** Unless there are errors. */
  readonly document?: PolicyDocument;
}

/** `egress validate`: tells everything that is wrong with a policy file. Touches nothing but the file. */
export async function validate(
  file: string,
  options: ValidateOptions,
  { readFile, setExitCode, write, remark }: Pick<CliSurroundings, 'readFile' | 'setExitCode' | 'write' | 'remark'>,
): Promise<void> {
  const text = contentOf(file, readFile);
  const verdict = typeof text === 'string' ? await judgeText(file, text) : { errors: [text], warnings: [] };
  const { document } = verdict;
  const placed = async (problems: readonly Problem[]) =>
    typeof text === 'string' ? await withLines(text, problems) : problems;
  const [errors, warnings] = [await placed(verdict.errors), await placed(verdict.warnings)];
  if (document === undefined) setExitCode(1);
  if (options.json) return write(toJson({ errors, warnings }));
  if (options.print && document) write(toJson(normalForm(document)));
  const said = words(
    file,
    { ...verdict, errors, warnings },
    typeof text === 'string' && isYaml(file, text),
    options.print === true,
  );
  if (said !== '') (options.print ? remark : write)(said);
}

async function judgeText(file: string, text: string): Promise<Verdict> {
  const { value, problems, warnings } = await parseDocument(file, text);
  if (value === undefined) return { errors: problems, warnings };
  const judged = judgePolicy(file, value, problems);
  if ('problems' in judged) return { errors: judged.problems, warnings };
  return { errors: [], warnings: [...warnings, ...warningsOf(file, judged.value)], document: judged.value };
}

function words(file: string, { errors, warnings, document }: Verdict, yaml: boolean, printed: boolean): string {
  const lines = [...errors.map(lineOf), ...warnings.map((warning) => `warning: ${lineOf(warning)}`)];
  if (document && !printed) lines.push(`${file} is valid`);
  if (document && yaml) {
    lines.push(
      printed
        ? 'note: the plugin reads JSON only: give it what is printed'
        : 'note: egress install and the manifests make JSON of it, which is all that the plugin reads; --print shows it',
    );
  }
  return lines.map((line) => `${line}\n`).join('');
}

export const validateCommand: CliCommand = {
  name: 'validate',
  summary: 'look for mistakes in a policy file; exit code 1 when there are any, 0 when there are only warnings',
  options: (command) =>
    withJson(
      command.argument('<file>', 'the policy file, in JSON, or in YAML (which only this command reads)'),
    ).addOption(
      new Option('--print', 'print the file as JSON, with all defaults; mistakes and warnings go to stderr').conflicts(
        'json',
      ),
    ),
  run: (surroundings, file: string, options: ValidateOptions) => validate(file, options, surroundings),
};
