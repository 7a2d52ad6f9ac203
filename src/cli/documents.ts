import type { Document, LineCounter, YAMLError } from 'yaml';
import { parseJson } from '../config/json.ts';
import type { Problem } from '../config/problem.ts';
import { type ReadFile, repetitions } from '../config/read.ts';
import { jsonMistake } from './json-mistake.ts';

/** A parser's result for a document. */
export interface Parsed {
  /** `undefined`: too little is there to go on. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** The text of the file, or why there is none. */
export function contentOf(file: string, readFile: ReadFile): string | Problem {
  try {
    return readFile(file) ?? inFile(file, 'the file does not exist');
  } catch (error) {
    return inFile(file, `the file cannot be read: ${messageOf(error)}`);
  }
}

/** By the file's name; where that does not tell, whether the text begins like a JSON object or list. */
export const isYaml = (file: string, text: string): boolean =>
  /\.ya?ml$/i.test(file) || !(/\.json$/i.test(file) || /^\uFEFF?\s*[{[]/.test(text));

/** The one document of a file, in JSON or YAML. */
export async function parseDocument(file: string, text: string): Promise<Parsed> {
  if (!isYaml(file, text)) return parseJsonText(file, text);
  const { yaml, lines } = await openYaml();
  const parse = () => parsed(file, yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false }), lines);
  return deepAsProblem(parse, tooDeep(file));
}

/** All documents of a file; only YAML can have several, or none. */
export async function parseDocuments(file: string, text: string): Promise<Parsed[]> {
  if (!isYaml(file, text)) return [parseJsonText(file, text)];
  const { yaml, lines } = await openYaml();
  const parse = () => {
    const documents = yaml.parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
    return documents.map((document) => parsed(file, document, lines));
  };
  return deepAsProblem(parse, [tooDeep(file)]);
}

/**
 * More than any document for us or for Kubernetes has. Functions that walk through a value call themselves for each
 * level.
 */
const mostLevels = 200;

/** Whether a value has more levels, or, as YAML allows it, is inside itself. */
const isTooDeep = (value: unknown, left = mostLevels): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (left === 0 || Object.values(value).some((part) => isTooDeep(part, left - 1)));

const tooDeep = (file: string): Parsed => ({
  value: undefined,
  problems: [inFile(file, `it is nested more than ${mostLevels} levels deep`)],
  warnings: [],
});

/** The parser's result, or `otherwise` when the text is too deep for the parser itself. */
function deepAsProblem<T>(parse: () => T, otherwise: T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof RangeError) return otherwise;
    throw error;
  }
}

async function openYaml() {
  // Loaded only now: most commands, and all calls of a runtime, need no parser.
  const yaml = await import('yaml');
  return { yaml, lines: new yaml.LineCounter() };
}

function parseJsonText(file: string, text: string): Parsed {
  try {
    const value = parseJson(text);
    return isTooDeep(value) ? tooDeep(file) : { value, problems: repetitions(file, text), warnings: [] };
  } catch (error) {
    return {
      value: undefined,
      problems: [inFile(file, `no JSON: ${jsonMistake(text, messageOf(error))}`)],
      warnings: [],
    };
  }
}

function parsed(file: string, document: Document.Parsed, lines: LineCounter): Parsed {
  const problemOf = ({ code, message, pos }: YAMLError): Problem => {
    const { line, col } = lines.linePos(pos[0]);
    return inFile(file, `${ownWords[code] ?? message} at line ${line} column ${col}`);
  };
  const [problems, warnings] = [document.errors.map(problemOf), document.warnings.map(problemOf)];
  // Where a key is there twice, the rest can be judged all the same.
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return { value: undefined, problems, warnings };
  try {
    const value: unknown = document.toJS();
    return isTooDeep(value) ? tooDeep(file) : { value, problems, warnings };
  } catch (error) {
    if (error instanceof RangeError) return tooDeep(file);
    const alias = /^Unresolved alias .*: (.*)$/.exec(messageOf(error))?.[1];
    const message =
      alias === undefined ? messageOf(error) : `a text that begins with "*" needs quotes in YAML: "*${alias}"`;
    return { value: undefined, problems: [...problems, inFile(file, message)], warnings };
  }
}

/** Our words in place of the parser's, which are for programmers. */
const ownWords: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'a text that begins with "*" needs quotes in YAML, like "*"',
  DUPLICATE_KEY: 'the key is there more than once',
  MULTIPLE_DOCS: 'a file is one document, but a second one begins',
};

const inFile = (source: string, message: string): Problem => ({ source, pointer: '', message });

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
