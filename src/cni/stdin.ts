import { EgressError } from '../base/errors.ts';
import { compactValue, membersOf } from '../base/json-text.ts';
import { shown } from '../base/shown.ts';
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
      `network configuration#/name: expected letters, digits, "_", "." and "-", got ${shown(name)}`,
    );
  }
  const version = supportedVersions.find((supported) => supported === cniVersion);
  if (version === undefined) {
    throw new EgressError(
      'incompatible-version',
      `The configuration's cniVersion is ${cniVersion === undefined ? 'absent' : shown(cniVersion)}, supported are ${supportedVersions.join(', ')}`,
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
  const compact = compactValue(text)?.value as Readonly<Record<string, unknown>> | undefined;
  if (compact !== undefined) return Object.hasOwn(compact, key) ? JSON.stringify(compact[key]) : undefined;
  let found: string | undefined;
  for (const member of membersOf(text)) if (member.key === key) found = text.slice(member.start, member.end);
  return found;
}
