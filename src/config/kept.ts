import { agentFileIn } from '../base/agent-file.ts';
import { EgressError } from '../base/errors.ts';
import { defaults } from './defaults.ts';
import { parseJson } from './json.ts';
import { judgeKept } from './judged.ts';
import { lineOf } from './problem.ts';
import type { ChainEntry, PolicyDocument } from './schema.ts';

/** What an agent made of the objects of the cluster. */
export interface KeptObjects {
  /** Nodes, exits and policies. */
  readonly document: PolicyDocument;
  /**
   * Names of policies in it that were refused, and of which no earlier form is known: what new pods send by them is dropped,
   * running ones keep what they have.
   */
  readonly refused: readonly string[];
  /** Names of policies in it that tenants have for their namespaces. Absent: none. */
  readonly tenants?: readonly string[] | undefined;
}

/** The file that an agent keeps objects of the cluster in, for a chain entry. */
export const keptFileOf = ({ dataDir = defaults.dataDir }: ChainEntry): string => agentFileIn(dataDir, 'objects.json');

/** The content of that file. */
export const keptText = ({ document, refused, tenants }: KeptObjects): string =>
  `${JSON.stringify({ version: 1, refused, tenants, document })}\n`;

/** What is in a text of {@link keptText}; `undefined` when it is none that this program would have written. */
export function parseKept(text: string): KeptObjects | undefined {
  try {
    const judged = judgeKept(parseJson(text), '');
    return 'value' in judged ? judged.value : undefined;
  } catch {
    return undefined;
  }
}

/** Kinds of others whose objects count. */
export interface OthersKinds {
  readonly cilium: boolean;
  readonly kubeVip: boolean;
}

/** The kinds of others that a configuration names: the first that says something of the cluster counts. */
export function othersKinds(entry: ChainEntry, document: PolicyDocument | undefined): OthersKinds {
  const said = entry.kubernetes ?? document?.kubernetes;
  return typeof said === 'object'
    ? { cilium: said.cilium ?? false, kubeVip: said.kubeVip ?? false }
    : { cilium: false, kubeVip: false };
}

/** Whether a configuration takes exits and policies from objects of the cluster as well: the first that says so counts. */
export const wantsObjects = (entry: ChainEntry, document: PolicyDocument | undefined): boolean =>
  (entry.kubernetes ?? document?.kubernetes ?? defaults.kubernetes) !== false;

/**
 * The kept objects of a chain entry.
 *
 * @throws `try-again` when there are none yet, or they cannot be read: a pod that started now would be without its policies
 */
export function requireKept(
  entry: ChainEntry,
  readFile: (path: string, longest?: number) => string | undefined,
): KeptObjects {
  const file = keptFileOf(entry);
  const text = readFile(file);
  if (text === undefined) throw notYet(`${file} is not there yet`);
  const kept = parseKept(text);
  if (kept !== undefined) return kept;
  throw notYet(`${file} cannot be understood (${firstProblem(file, text)})`);
}

const notYet = (why: string): EgressError =>
  new EgressError(
    'try-again',
    `The configuration says "kubernetes", and ${why}: "egress agent" writes it when it has read the cluster's objects`,
  );

function firstProblem(file: string, text: string): string {
  try {
    const judged = judgeKept(parseJson(text), file);
    const [problem] = 'problems' in judged ? judged.problems : [];
    return problem === undefined ? 'without a reason' : lineOf(problem);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
