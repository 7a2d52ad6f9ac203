/** A JSON Schema (2020-12): keyword → what it asks for. */
export type Schema = Readonly<Record<string, unknown>>;

type Fields = Readonly<Record<string, unknown>>;

/**
 * What an editor finds wrong with a value, each problem with its JSON pointer. Read here, and not by the library that the
 * schemas are made with, whose mistakes it would share. Throws on a keyword that it does not know.
 */
export function schemaProblems(value: unknown, schema: Schema, place = ''): readonly string[] {
  return Object.entries(schema).flatMap(([keyword, wanted]) => {
    const inside = applicators[keyword];
    if (inside !== undefined) return inside(value, wanted as never, place, schema);
    const isKept = assertions[keyword];
    if (isKept === undefined) throw new Error(`${place}: the keyword "${keyword}" is not known here`);
    return isKept(value, wanted as never) ? [] : [`${place}: ${keyword} ${JSON.stringify(wanted)}`];
  });
}

type Applicator = (value: unknown, wanted: never, place: string, schema: Schema) => readonly string[];

/** Keywords that say something about the parts of a value. */
const applicators: Readonly<Record<string, Applicator>> = {
  items: (value, item: Schema, place) =>
    Array.isArray(value) ? value.flatMap((each, i) => schemaProblems(each, item, `${place}/${i}`)) : [],
  properties: (value, properties: Readonly<Record<string, Schema>>, place) =>
    fieldsOf(value).flatMap(([key, each]) => schemaProblems(each, properties[key] ?? {}, `${place}/${key}`)),
  patternProperties: (value, patterns: Readonly<Record<string, Schema>>, place) =>
    fieldsOf(value).flatMap(([key, each]) =>
      Object.entries(patterns).flatMap(([pattern, wanted]) =>
        new RegExp(pattern, 'u').test(key) ? schemaProblems(each, wanted, `${place}/${key}`) : [],
      ),
    ),
  propertyNames: (value, name: Schema, place) =>
    fieldsOf(value).flatMap(([key]) => schemaProblems(key, name, `${place}/${key}`)),
  additionalProperties: (value, wanted: boolean | Schema, place, schema) =>
    fieldsOf(value)
      .filter(([key]) => isAdditional(key, schema))
      .flatMap(([key, each]) => {
        if (typeof wanted !== 'boolean') return schemaProblems(each, wanted, `${place}/${key}`);
        return wanted ? [] : [`${place}/${key}: additionalProperties false`];
      }),
};

const isAdditional = (key: string, { properties = {}, patternProperties = {} }: Schema): boolean =>
  !Object.hasOwn(properties as Fields, key) &&
  !fieldsOf(patternProperties).some(([pattern]) => new RegExp(pattern, 'u').test(key));

const remark = () => true;

/** Keywords that a value keeps or breaks as a whole; those for another type of value are kept. */
const assertions: Readonly<Record<string, (value: unknown, wanted: never) => boolean>> = {
  ...{ $schema: remark, title: remark, description: remark, default: remark },
  type: (value, type: string) => types[type]?.(value) ?? false,
  const: (value, only: unknown) => value === only,
  enum: (value, choices: readonly unknown[]) => choices.includes(value),
  anyOf: (value, choices: readonly Schema[]) => choices.some((each) => schemaProblems(value, each).length === 0),
  minimum: (value, least: number) => typeof value !== 'number' || value >= least,
  maximum: (value, most: number) => typeof value !== 'number' || value <= most,
  pattern: (value, pattern: string) => typeof value !== 'string' || new RegExp(pattern, 'u').test(value),
  minItems: (value, least: number) => !Array.isArray(value) || value.length >= least,
  uniqueItems: (value) =>
    !Array.isArray(value) || new Set(value.map((item) => JSON.stringify(item))).size === value.length,
  required: (value, keys: readonly string[]) => !isFields(value) || hasAll(value, keys),
  dependentRequired: (value, others: Readonly<Record<string, readonly string[]>>) =>
    !isFields(value) || Object.keys(value).every((key) => hasAll(value, others[key] ?? [])),
};

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: (value) => isFields(value),
  array: (value) => Array.isArray(value),
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === 'number',
};

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const hasAll = (fields: Fields, keys: readonly string[]): boolean => keys.every((key) => Object.hasOwn(fields, key));

const fieldsOf = (value: unknown): [string, unknown][] => (isFields(value) ? Object.entries(value) : []);
