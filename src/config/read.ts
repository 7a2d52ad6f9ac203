import { EgressError } from '../base/errors.ts';
import { contradictions } from './checks.ts';
import { type Configuration, configurationOf } from './configuration.ts';
import { parseJson, repeatedKeys } from './json.ts';
import type { Source } from './placed.ts';
import { refuse, validated } from './problem.ts';
import { type ChainEntry, chainEntrySchema, defaults, policyDocumentSchema, reservedPrefix } from './schema.ts';

/** The text of a file; `undefined` when there is none of that name; throws when it cannot be read. */
export type ReadFile = (path: string) => string | undefined;

const entrySource = 'network configuration';

/** The network configuration from standard input, as far as it can be judged without the policy file. */
export function readChainEntry(stdin: unknown): ChainEntry {
  return validated(chainEntrySchema, withoutReserved(stdin), entrySource);
}

/**
 * The whole configuration: what stands in the chain entry, and what stands in the policy file. Lists of both add up,
 * single values of the entry win.
 */
export function readConfiguration(entry: ChainEntry, readFile: ReadFile): Configuration {
  const sources = [{ name: entrySource, document: entry }, ...readPolicyFile(entry, readFile)];
  refuse(contradictions(sources));
  return configurationOf(
    entry,
    sources.map(({ document }) => document),
  );
}

/**
 * What a chain entry with this policy file and no further option says, for commands that run without an entry. A file
 * that does not exist is an error that names it.
 */
export const readPolicy = (path: string, readFile: ReadFile): Configuration =>
  readConfiguration({ type: 'egress', policyFile: path }, readFile);

function withoutReserved(stdin: unknown): unknown {
  if (typeof stdin !== 'object' || stdin === null || Array.isArray(stdin)) return stdin;
  return Object.fromEntries(Object.entries(stdin).filter(([key]) => !key.startsWith(reservedPrefix)));
}

function readPolicyFile(entry: ChainEntry, readFile: ReadFile): Source[] {
  const path = entry.policyFile ?? defaults.policyFile;
  const text = attempt(`Policy file ${path} cannot be read`, () => readFile(path));
  if (text !== undefined) return [{ name: path, document: parsePolicyFile(path, text) }];
  if (entry.policyFile === undefined) return [];
  throw new EgressError('try-again', `Policy file ${path} does not exist`);
}

function parsePolicyFile(path: string, text: string) {
  // Not an invalid configuration: somebody may be writing the file just now.
  const value = attempt(`Policy file ${path} is no complete JSON document`, () => parseJson(text));
  refuse(repeatedKeys(text).map((pointer) => ({ source: path, pointer, message: 'the key is there more than once' })));
  return validated(policyDocumentSchema, value, path);
}

function attempt<T>(failure: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new EgressError('try-again', `${failure}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
