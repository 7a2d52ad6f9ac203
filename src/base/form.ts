import { isObject } from './is-object.ts';

/** What is asked of a value of the right type beyond its type, in the order in which it is asked. */
export type Check =
  | { readonly pattern: RegExp }
  /** Characters of a text, or members of a list. */
  | { readonly atLeast: number }
  /** The canonical form of a text; `undefined` for one that is none. */
  | { readonly parse: (text: string) => string | undefined }
  // biome-ignore lint/suspicious/noExplicitAny: each rule knows the type of what its form gives it
  | { readonly holds: (value: any) => boolean };

/**
 * What a value of JSON may be, as plain data. Made of a schema (`install/forms.ts`), with the same meaning, but without words for
 * what is wrong: a schema's library takes half of a heap that every call of the plugin copies.
 */
export type Form =
  | { readonly kind: 'anything' }
  | { readonly kind: 'truth' }
  | { readonly kind: 'text'; readonly checks?: readonly Check[] }
  | { readonly kind: 'whole'; readonly first: number; readonly last: number; readonly checks?: readonly Check[] }
  | { readonly kind: 'one'; readonly of: readonly unknown[] }
  | { readonly kind: 'either'; readonly of: readonly Form[] }
  | { readonly kind: 'list'; readonly of: Form; readonly checks?: readonly Check[] }
  | { readonly kind: 'map'; readonly keys: Form; readonly values: Form }
  /** A member of an object that may be absent. */
  | { readonly kind: 'optional'; readonly of: Form }
  | ObjectForm;

/** An object with these members; others make it wrong, or are left out. */
export interface ObjectForm {
  readonly kind: 'object';
  readonly members: Readonly<Record<string, Form>>;
  readonly isStrict?: true;
  readonly checks?: readonly Check[];
}

/** What {@link taken} gives for a value that the form does not have; the schema says why, or that it does after all. */
export const unsure = Symbol('unsure');

/** The value as its schema would give it back, with canonical texts; or {@link unsure}. Changes nothing in the value. */
export function taken(form: Form, value: unknown): unknown {
  switch (form.kind) {
    case 'anything':
      return value;
    case 'truth':
      return typeof value === 'boolean' ? value : unsure;
    case 'text':
      return typeof value === 'string' ? checked(value, form.checks) : unsure;
    case 'whole':
      return isBetween(value, form) ? checked(value, form.checks) : unsure;
    case 'one':
      return form.of.includes(value) ? value : unsure;
    case 'either':
      return takenByOne(form.of, value);
    case 'optional':
      return taken(form.of, value);
    case 'list':
      return Array.isArray(value) ? checked(takenList(form.of, value), form.checks) : unsure;
    case 'map':
      return isObject(value) ? takenMap(form, value) : unsure;
    case 'object':
      return isObject(value) ? checked(takenObject(form, value), form.checks) : unsure;
  }
}

const isBetween = (value: unknown, { first, last }: { readonly first: number; readonly last: number }) =>
  Number.isInteger(value) && Number(value) >= first && Number(value) <= last;

function checked(value: unknown, checks: readonly Check[] = []): unknown {
  let result = value;
  for (const check of checks) {
    if (result === unsure) return unsure;
    if ('parse' in check) result = check.parse(result as string) ?? unsure;
    else if (!passes(result, check)) return unsure;
  }
  return result;
}

function passes(value: unknown, check: Exclude<Check, { parse: unknown }>): boolean {
  if ('pattern' in check) return check.pattern.test(value as string);
  if ('atLeast' in check) return (value as string | unknown[]).length >= check.atLeast;
  return check.holds(value);
}

function takenByOne(forms: readonly Form[], value: unknown): unknown {
  for (const form of forms) {
    const result = taken(form, value);
    if (result !== unsure) return result;
  }
  return unsure;
}

function takenList(form: Form, values: readonly unknown[]): unknown {
  const results: unknown[] = [];
  for (const value of values) {
    const result = taken(form, value);
    if (result === unsure) return unsure;
    results.push(result);
  }
  return results;
}

function takenMap(form: Extract<Form, { kind: 'map' }>, value: Readonly<Record<string, unknown>>): unknown {
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const member = taken(form.values, value[key]);
    // A key that JSON may have and an object cannot simply be given.
    if (member === unsure || key === '__proto__' || taken(form.keys, key) !== key) return unsure;
    result[key] = member;
  }
  return result;
}

function takenObject({ members, isStrict }: ObjectForm, value: Readonly<Record<string, unknown>>): unknown {
  const result: Record<string, unknown> = {};
  let count = 0;
  for (const key in members) {
    const form = members[key] as Form;
    if (!Object.hasOwn(value, key)) {
      if (form.kind === 'optional') continue;
      return unsure;
    }
    const own = value[key];
    const member = own === undefined ? unsure : taken(form, own);
    if (member === unsure) return unsure;
    result[key] = member;
    count += 1;
  }
  return isStrict && Object.keys(value).length > count ? unsure : result;
}
