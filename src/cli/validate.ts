import { parseJson } from '../config/json.ts';
import { normalForm } from '../config/normal.ts';
import { lineOf, type Problem } from '../config/problem.ts';
import { judgePolicy, repetitions } from '../config/read.ts';
import type { PolicyDocument } from '../config/schema.ts';
import { warningsOf } from '../config/warnings.ts';
import { type CliSurroundings, toJson } from './command.ts';

/** What the command is told on the command line. */
export interface ValidateOptions {
  readonly json?: true;
  readonly print?: true;
}

/** What there is to say about a policy file. */
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
  const { errors, warnings, document } = verdict;
  if (document === undefined) setExitCode(1);
  if (options.json) return write(toJson({ errors, warnings }));
  if (options.print && document) write(toJson(normalForm(document)));
  const said = words(file, verdict, typeof text === 'string' && isYaml(file, text), options.print === true);
  if (said !== '') (options.print ? remark : write)(said);
}

/** The text of the file, or why there is none. */
function contentOf(file: string, readFile: CliSurroundings['readFile']): string | Problem {
  try {
    return readFile(file) ?? inFile(file, 'the file does not exist');
  } catch (error) {
    return inFile(file, `the file cannot be read: ${messageOf(error)}`);
  }
}

const inFile = (source: string, message: string): Problem => ({ source, pointer: '', message });

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function judgeText(file: string, text: string): Promise<Verdict> {
  const { value, problems, warnings } = isYaml(file, text) ? await parseYaml(file, text) : parse(file, text);
  if (value === undefined) return { errors: problems, warnings };
  const judged = judgePolicy(file, value, problems);
  if ('problems' in judged) return { errors: judged.problems, warnings };
  return { errors: [], warnings: [...warnings, ...warningsOf(file, judged.value)], document: judged.value };
}

/** By the file's name; where that does not tell, whether the text begins like a JSON object or list. */
const isYaml = (file: string, text: string): boolean =>
  /\.ya?ml$/i.test(file) || !(/\.json$/i.test(file) || /^\uFEFF?\s*[{[]/.test(text));

/** What a parser makes of a text. */
interface Parsed {
  /** `undefined`: too little is there to go on. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

function parse(file: string, text: string): Parsed {
  try {
    return { value: parseJson(text), problems: repetitions(file, text), warnings: [] };
  } catch (error) {
    return { value: undefined, problems: [inFile(file, `no JSON: ${messageOf(error)}`)], warnings: [] };
  }
}

async function parseYaml(file: string, text: string): Promise<Parsed> {
  // Loaded only now: no other command, and no call of a runtime, needs the parser.
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const told = ({ code, message, pos }: { code: string; message: string; pos: readonly [number, number] }): Problem => {
    const { line, col } = lines.linePos(pos[0]);
    return inFile(file, `${ownWords[code] ?? message} at line ${line} column ${col}`);
  };
  const [problems, warnings] = [document.errors.map(told), document.warnings.map(told)];
  // Where a key is there twice, the rest can be judged all the same.
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return { value: undefined, problems, warnings };
  try {
    return { value: document.toJS() as unknown, problems, warnings };
  } catch (error) {
    return { value: undefined, problems: [...problems, inFile(file, messageOf(error))], warnings };
  }
}

/** For messages of the parser that speak to programmers. */
const ownWords: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'the key is there more than once',
  MULTIPLE_DOCS: 'a file is one document, but a second one begins',
};

function words(file: string, { errors, warnings, document }: Verdict, yaml: boolean, printed: boolean): string {
  const lines = [...errors.map(lineOf), ...warnings.map((warning) => `warning: ${lineOf(warning)}`)];
  if (document && !printed) lines.push(`${file} is valid`);
  if (document && yaml) {
    lines.push(`note: the plugin reads JSON only: ${printed ? 'give it what is printed' : '--print writes it'}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}
