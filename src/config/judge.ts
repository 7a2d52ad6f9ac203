import type * as z from 'zod/mini';
import { shown } from '../base/shown.ts';
import { type Judged, pointerOf } from './problem.ts';
import { meant, remark, strange } from './slips.ts';

/** The value as the schema gives it back, or all problems that the schema sees. */
export function judge<T>(schema: z.ZodMiniType<T>, value: unknown, source: string): Judged<T> {
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data };
  const found = result.error.issues.flatMap((issue) => explained(issue, schema, value));
  return { problems: found.map(({ path, message }) => ({ source, pointer: pointerOf(path), message })) };
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** The issue in words for a person. Schemas give each check the words that complete "expected …, got …". */
function explained(issue: Issue, schema: z.core.$ZodType, document: unknown): { path: Path; message: string }[] {
  if (issue.code === 'unrecognized_keys') {
    const [known, outermost] = [issue.path, []].map((path) => keysOf(schemaAt(schema, path)));
    const end = (key: string) => strange(key, known ?? [], issue.path.length > 0 ? (outermost ?? []) : []);
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: `unknown key, ${end(key)}` }));
  }
  if (issue.code === 'invalid_union') {
    const likely = issue.errors.find(isOfRightType) ?? [];
    const placed = likely.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
    if (placed.length > 0) return placed.flatMap((inner) => explained(inner, schema, document));
  }
  const value = valueAt(document, issue.path);
  const end = proposal(schemaAt(schema, issue.path), value, issue.message) ?? remark(value, issue.message);
  return [{ path: issue.path, message: `expected ${issue.message}, got ${shown(value)}${end}` }];
}

/** Another value that would be right at that place and may be meant, when there is a short one. */
function proposal(schema: Schema | undefined, value: unknown, expected: string): string | undefined {
  if (schema === undefined || value === undefined) return undefined;
  const isRight = (each: unknown) => (schema as unknown as z.ZodMiniType).safeParse(each).success;
  // Then it is wrong beside others.
  if (isRight(value)) return undefined;
  const words = shown(meant(value, expected).find(isRight));
  return words === 'nothing' || words.endsWith('…') ? undefined : `, did you mean ${words}?`;
}

/** Of the forms that a value may have, the one that it was meant to have tells most. */
const isOfRightType = (issues: readonly Issue[]): boolean =>
  !issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0);

type Schema = z.core.$ZodTypes;

/** The schema of a place; `undefined` where it has several forms or none. */
function schemaAt(schema: z.core.$ZodType, path: Path): Schema | undefined {
  const { def } = (schema as Schema)._zod;
  if (def.type === 'optional') return schemaAt(def.innerType, path);
  if (path.length === 0) return schema as Schema;
  if (def.type === 'array') return schemaAt(def.element, path.slice(1));
  const member = def.type === 'object' ? def.shape[String(path[0])] : undefined;
  return member && schemaAt(member, path.slice(1));
}

const keysOf = (schema: Schema | undefined): string[] =>
  schema?._zod.def.type === 'object' ? Object.keys(schema._zod.def.shape) : [];

const valueAt = (document: unknown, path: Path): unknown =>
  path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], document);
