import type * as z from 'zod/mini';
import { EgressError } from '../base/errors.ts';
import { suggestion } from '../base/nearest.ts';
import { shown } from '../base/shown.ts';

/** One mistake in a configuration. */
export interface Problem {
  /** Path of the file, or `network configuration`. */
  readonly source: string;
  /** JSON pointer (RFC 6901) of the place; empty for the whole document. */
  readonly pointer: string;
  readonly message: string;
}

/** The JSON pointer of a path of keys and indexes. */
export const pointerOf = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** A problem as people read it, in one line. */
export const lineOf = ({ source, pointer, message }: Problem): string => `${source}#${pointer}: ${message}`;

/** Refuses a configuration with all its problems at once, one in a line. */
export function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new EgressError('invalid-configuration', problems.map(lineOf).join('\n'));
}

/** A valid value, or all its problems: at least one. */
export type Judged<T> = { readonly value: T } | { readonly problems: readonly Problem[] };

/** The value as the schema gives it back, or all problems that the schema sees. */
export function judge<T>(schema: z.ZodMiniType<T>, value: unknown, source: string): Judged<T> {
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data };
  const found = result.error.issues.flatMap((issue) => explained(issue, schema, value));
  return { problems: found.map(({ path, message }) => ({ source, pointer: pointerOf(path), message })) };
}

/** The valid value. Throws all problems otherwise. */
export function accept<T>(judged: Judged<T>): T {
  if ('value' in judged) return judged.value;
  refuse(judged.problems);
  throw new EgressError('internal', 'A configuration was refused without a problem');
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** The issue in words for a person. Schemas give each check the words that complete "expected …, got …". */
function explained(issue: Issue, schema: z.core.$ZodType, document: unknown): { path: Path; message: string }[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: `unknown key, ${suggestion(key, known)}` }));
  }
  if (issue.code === 'invalid_union') {
    const meant = issue.errors.find(isOfRightType) ?? [];
    const placed = meant.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
    if (placed.length > 0) return placed.flatMap((inner) => explained(inner, schema, document));
  }
  return [{ path: issue.path, message: `expected ${issue.message}, got ${shown(valueAt(document, issue.path))}` }];
}

/** Of the forms that a value may have, the one that it was meant to have tells most. */
const isOfRightType = (issues: readonly Issue[]): boolean =>
  !issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0);

/** The keys that the schema has for the object at a place. */
function knownKeys(schema: z.core.$ZodType, path: Path): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type === 'optional') return knownKeys(def.innerType, path);
  if (def.type === 'array') return knownKeys(def.element, path.slice(1));
  if (def.type !== 'object') return [];
  const member = def.shape[String(path[0])];
  return member ? knownKeys(member, path.slice(1)) : Object.keys(def.shape);
}

const valueAt = (document: unknown, path: Path): unknown =>
  path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], document);
