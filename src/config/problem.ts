import { EgressError } from '../base/errors.ts';

/** One mistake in a configuration. */
export interface Problem {
  /** Path of the file, or `network configuration`. */
  readonly source: string;
  /** JSON pointer (RFC 6901) of the place; empty for the whole document. */
  readonly pointer: string;
  readonly message: string;
  /** Where the place is in a file that a person wrote, counted from 1, when it was looked for. */
  readonly line?: number;
}

/** The JSON pointer of a path of keys and indexes. */
export const pointerOf = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** A problem as people read it, in one line. */
export const lineOf = ({ source, pointer, message, line }: Problem): string =>
  `${source}#${pointer}${line === undefined ? '' : ` (line ${line})`}: ${message}`;

/** Refuses a configuration with all its problems at once, one in a line. */
export function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new EgressError('invalid-configuration', problems.map(lineOf).join('\n'));
}

/** A valid value, or all its problems: at least one. */
export type Judged<T> = { readonly value: T } | { readonly problems: readonly Problem[] };

/** The valid value. Throws all problems otherwise. */
export function accept<T>(judged: Judged<T>): T {
  if ('value' in judged) return judged.value;
  refuse(judged.problems);
  throw new EgressError('internal', 'A configuration was refused without a problem');
}
