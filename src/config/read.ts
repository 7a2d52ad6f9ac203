import type { Address } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import { contradictions } from './checks.ts';
import { type Configuration, configurationOf } from './configuration.ts';
import { defaults } from './defaults.ts';
import { parseJson, repeatedKeys } from './json.ts';
import { judgeDocument, judgeEntry, soundParts, validOption } from './judged.ts';
import { type KeptObjects, keptFileOf, requireKept, wantsObjects } from './kept.ts';
import { accept, type Judged, type Problem, refuse } from './problem.ts';
import { reservedPrefix } from './reserved.ts';
import type { ChainEntry, PolicyDocument } from './schema.ts';
import type { SoundParts } from './sound.ts';

/** The text of a file; `undefined` when there is none of that name; throws when it cannot be read, or has more bytes than `longest`. */
export type ReadFile = (path: string, longest?: number) => string | undefined;

/**
 * Bytes of a policy file: four hundred thousand ranges. To judge it takes 330 MiB of memory, of the 512 that an agent in a
 * cluster has. A ConfigMap holds one million bytes.
 */
const longestPolicy = 8 * 1024 * 1024;

const entrySource = 'network configuration';

/**
 * The network configuration from standard input, as far as it can be judged without the policy file.
 *
 * @param text the JSON text of `stdin`: no key may be there twice
 */
export function readChainEntry(stdin: unknown, text = ''): ChainEntry {
  return accept(withProblems(repetitions(entrySource, text), judgeEntry(withoutReserved(stdin), entrySource)));
}

/** The options about the machine's files of a chain entry that may be wrong in everything: invalid ones are left out. */
export function readMachineOptions(
  entry: Readonly<Record<string, unknown>>,
): Pick<ChainEntry, 'dataDir' | 'logFile' | 'logLevel'> {
  return {
    dataDir: validOption('dataDir', entry.dataDir),
    logFile: validOption('logFile', entry.logFile),
    logLevel: validOption('logLevel', entry.logLevel),
  };
}

/** The whole configuration: of the chain entry, of the policy file, and of the cluster's objects where they are wanted. */
export function readConfiguration(entry: ChainEntry, readFile: ReadFile): Configuration {
  const document = readPolicyDocument(entry, readFile);
  return combine(entry, document, readKept(entry, document, readFile));
}

/** The kept objects of the cluster; `undefined` where they are not wanted. Throws `try-again` where they are wanted and lack. */
export const readKept = (
  entry: ChainEntry,
  document: PolicyDocument | undefined,
  readFile: ReadFile,
): KeptObjects | undefined => (wantsObjects(entry, document) ? requireKept(entry, readFile) : undefined);

/**
 * The configuration that a chain entry, a policy file and the cluster's objects make. Lists of them add up, single values of
 * the entry win.
 */
export function combine(
  entry: ChainEntry,
  document: PolicyDocument | undefined,
  kept: KeptObjects | undefined,
): Configuration {
  const objects = kept === undefined ? [] : [{ name: keptFileOf(entry), document: kept.document }];
  const sources = [...ownSources(entry, document), ...objects];
  refuse(contradictions(sources));
  return configurationOf(
    entry,
    sources.map(({ document }) => document),
    kept,
  );
}

/** The sources of a configuration that are not objects of the cluster. */
export const ownSources = (
  entry: ChainEntry,
  document: PolicyDocument | undefined,
): { readonly name: string; readonly document: PolicyDocument }[] => [
  { name: entrySource, document: entry },
  ...(document === undefined ? [] : [{ name: policyFileOf(entry), document }]),
];

/**
 * A chain entry with this policy file and no further option but the node's underlay address, for commands that run without
 * an entry. A file that does not exist is an error that names it.
 */
export const readPolicy = (path: string, readFile: ReadFile, node?: Address): Configuration =>
  readConfiguration({ type: 'egress', policyFile: path, ...(node !== undefined && { node }) }, readFile);

function withoutReserved(stdin: unknown): unknown {
  if (typeof stdin !== 'object' || stdin === null || Array.isArray(stdin)) return stdin;
  return Object.fromEntries(Object.entries(stdin).filter(([key]) => !key.startsWith(reservedPrefix)));
}

/** The policy file that a chain entry names, or the one that is there by default. */
export const policyFileOf = ({ policyFile = defaults.policyFile }: ChainEntry): string => policyFile;

/** The policy file, valid in itself; `undefined` when the entry names none, and there is none by default. */
export function readPolicyDocument(entry: ChainEntry, readFile: ReadFile): PolicyDocument | undefined {
  const path = policyFileOf(entry);
  const text = readPolicyText(path, readFile);
  if (text !== undefined) return parsePolicyFile(path, text, entry);
  if (entry.policyFile === undefined) return undefined;
  throw new EgressError('try-again', `Policy file ${path} does not exist`);
}

/** The text of a policy file; `undefined` when there is none. Throws `try-again` when it cannot be read. */
export const readPolicyText = (path: string, readFile: ReadFile): string | undefined =>
  attempt(`Policy file ${path} cannot be read`, () => readFile(path, longestPolicy));

function parsePolicyFile(path: string, text: string, entry: ChainEntry): PolicyDocument {
  // Not an invalid configuration: somebody may be writing the file just now.
  const value = attempt(`Policy file ${path} is no complete JSON document`, () => parseJson(text));
  const judged = judgePolicyDocument(path, value, repetitions(path, text));
  if ('value' in judged) return judged.value;
  const sources = [
    { name: entrySource, document: entry },
    { name: path, ...withoutOthers(soundParts(value)) },
  ];
  return accept(withProblems(contradictions(sources), judged));
}

/** The keys that a valid JSON text has a second time in one object. */
export const repetitions = (source: string, json: string): Problem[] =>
  repeatedKeys(json).map((pointer) => ({ source, pointer, message: 'the key is there more than once' }));

/** Judges a policy document by itself; `inText` are the problems of its text. */
function judgePolicyDocument(source: string, value: unknown, inText: readonly Problem[]): Judged<PolicyDocument> {
  return withProblems(inText, judgeDocument(value, source));
}

function withProblems<T>(found: readonly Problem[], judged: Judged<T>): Judged<T> {
  const problems = [...found, ...('problems' in judged ? judged.problems : [])];
  return problems.length > 0 ? { problems } : judged;
}

/** Judges a policy document without any chain entry: its parts, and contradictions among them. */
export function judgePolicy(source: string, value: unknown, inText: readonly Problem[]): Judged<PolicyDocument> {
  const judged = judgePolicyDocument(source, value, inText);
  const parts = withoutOthers('value' in judged ? { document: judged.value, lacking: [] } : soundParts(value));
  return withProblems(contradictions([{ name: source, ...parts }]), judged);
}

/** A file that has the cluster's nodes besides lacks them by itself. */
const withoutOthers = ({ document, lacking }: SoundParts): SoundParts =>
  document.kubernetes ? { document, lacking: [...lacking, '/nodes'] } : { document, lacking };

function attempt<T>(failure: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new EgressError('try-again', `${failure}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
