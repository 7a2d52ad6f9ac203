import { EgressError } from '../base/errors.ts';
import { isValidName } from './environment.ts';
import { supportedVersions } from './versions.ts';

/** What every network configuration has. */
export interface NetworkConfiguration {
  readonly name: string;
  readonly cniVersion: string;
  /** The whole document. */
  readonly document: Readonly<Record<string, unknown>>;
}

/**
 * Parses the network configuration of a call: `decoding-failure` when it is no JSON object, `invalid-configuration`
 * without a valid name, `incompatible-version` when we do not speak its version.
 */
export function parseStdin(text: string): NetworkConfiguration {
  const document = parseObject(text);
  const { name, cniVersion } = document;
  if (typeof name !== 'string' || !isValidName(name)) {
    throw new EgressError(
      'invalid-configuration',
      `network configuration#/name: expected letters, digits, "_", "." and "-", got ${JSON.stringify(name) ?? 'nothing'}`,
    );
  }
  const version = supportedVersions.find((supported) => supported === cniVersion);
  if (version === undefined) {
    throw new EgressError(
      'incompatible-version',
      `The configuration's cniVersion is ${JSON.stringify(cniVersion) ?? 'absent'}, supported are ${supportedVersions.join(', ')}`,
    );
  }
  return { name, cniVersion: version, document };
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EgressError(
      'decoding-failure',
      `The network configuration on stdin is not JSON: ${(error as Error).message}`,
    );
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new EgressError('decoding-failure', 'The network configuration on stdin is not a JSON object');
  }
  return value as Record<string, unknown>;
}

/**
 * The text of a member of a JSON object, as it stands there: number formats, spaces and the order of keys are kept.
 * The object must be valid JSON (parse it first). Undefined when there is no such member; of several the last counts,
 * as for JSON.parse.
 */
export function rawMember(text: string, key: string): string | undefined {
  let found: string | undefined;
  let at = text.indexOf('{') + 1;
  for (;;) {
    const keyStart = nextNonSpace(text, at);
    if (text[keyStart] !== '"') return found;
    const keyEnd = endOfString(text, keyStart);
    const valueStart = nextNonSpace(text, nextNonSpace(text, keyEnd) + 1);
    const valueEnd = endOfValue(text, valueStart);
    if (JSON.parse(text.slice(keyStart, keyEnd)) === key) found = text.slice(valueStart, valueEnd);
    at = nextNonSpace(text, valueEnd) + 1;
  }
}

function nextNonSpace(text: string, from: number): number {
  let at = from;
  while (' \t\r\n'.includes(text[at] ?? '.')) at++;
  return at;
}

/** Behind the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Behind the value that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; ; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at) - 1;
    else if (character === '{' || character === '[') depth++;
    else if (depth === 0 && (character === undefined || ',}] \t\r\n'.includes(character))) return at;
    else if (character === '}' || character === ']') depth--;
    if (depth === 0 && (character === '}' || character === ']' || character === '"')) return at + 1;
  }
}
