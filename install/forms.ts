import type * as z from 'zod/mini';
import * as address from '../src/base/address.ts';
import * as portRange from '../src/base/port-range.ts';
import * as exitRules from '../src/config/exit-rules.ts';
import * as rules from '../src/config/rules.ts';
import { chainEntrySchema, keptSchema, policyDocumentSchema } from '../src/config/schema.ts';
import type { Parsing } from '../src/config/value.ts';
import { recordSchemas } from '../src/store/record-schema.ts';

/**
 * The schemas of what the plugin reads as forms (`src/base/form.ts`): the same meaning as plain data, with the same functions.
 * Returns the text of each file, by its path in src/. Throws for what no form can say.
 */
export function formFiles(): Map<string, string> {
  const configuration = new Printer();
  const records = new Printer();
  const document = configuration.print(policyDocumentSchema);
  const kept = configuration.print(keptSchema);
  const ofRecords = Object.entries(recordSchemas).map(([name, schema]) => `${name}: ${records.print(schema)},`);
  return new Map([
    [
      'config/forms.ts',
      configuration.file(
        ['Form', 'ObjectForm'],
        constant('Of {@link chainEntrySchema}.', 'chainEntryForm: ObjectForm', configuration.print(chainEntrySchema)),
        constant('Of {@link policyDocumentSchema}.', 'policyDocumentForm: Form', document),
        constant('Of {@link keptSchema}.', 'keptForm: Form', kept),
      ),
    ],
    [
      'store/forms.ts',
      records.file(
        ['Form'],
        `/** Of \`recordSchemas\`. */\nexport const recordForms = { ${ofRecords.join('\n')} } satisfies Record<string, Form>;\n`,
      ),
    ],
  ]);
}

const constant = (about: string, name: string, value: string): string =>
  `/** ${about.replace(/\{@link (\w+)\}/, '`$1`')} */\nexport const ${name} = ${value};\n`;

const written = '// Written by `npm run schema`.\n';

/** Where the functions are that schemas call. */
const modules: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  '../base/address.ts': address,
  '../base/port-range.ts': portRange,
  './exit-rules.ts': exitRules,
  './rules.ts': rules,
};

type Schema = z.core.$ZodTypes;

const reference = /\$(\d+)\$/g;

const fromOf = (line: string): string => line.slice(line.indexOf(" '"));

/** Prints the forms of one file. What is there more than once is written once, and has a name. */
class Printer {
  readonly #imports = new Map<string, Set<string>>();
  /** The text of each form, with others in it as `$3$`: their places in this list. */
  readonly #forms: string[] = [];

  /** The form of a schema, as `$3$`. */
  print(schema: z.core.$ZodType): string {
    const text = this.#form((schema as Schema)._zod);
    const known = this.#forms.indexOf(text);
    return `$${known < 0 ? this.#forms.push(text) - 1 : known}$`;
  }

  /** A file with these types of forms and these texts. */
  file(types: readonly string[], ...constants: readonly string[]): string {
    const used = [...this.#forms, ...constants].flatMap((text) =>
      [...text.matchAll(reference)].map(([, i]) => Number(i)),
    );
    const isShared = (i: number) => used.indexOf(i) !== used.lastIndexOf(i);
    const whole = (text: string): string =>
      text.replace(reference, (_, i) => (isShared(Number(i)) ? `form${i}` : whole(this.#forms[Number(i)] ?? '')));
    const declared = this.#forms.flatMap((text, i) => (isShared(i) ? `const form${i}: Form = ${whole(text)};\n` : []));
    const imports = [...this.#imports].map(([from, of]) => `import { ${[...of].sort().join(', ')} } from '${from}';\n`);
    const own = `import type { ${types.join(', ')} } from '../base/form.ts';\n`;
    const sorted = [own, ...imports].sort((a, b) => (fromOf(a) < fromOf(b) ? -1 : 1));
    return `${written}${sorted.join('')}\n${declared.join('')}\n${constants.map(whole).join('\n')}`;
  }

  #form({ def }: Schema['_zod']): string {
    switch (def.type) {
      case 'unknown':
        return `{ kind: 'anything' }`;
      case 'boolean':
        return `{ kind: 'truth' }`;
      case 'string':
        return `{ kind: 'text'${this.#checks(def.checks)} }`;
      case 'number':
        return `{ kind: 'whole', ${bounds(def)}${this.#checks(def.checks)} }`;
      case 'enum':
        return `{ kind: 'one', of: ${JSON.stringify(Object.values(def.entries))} }`;
      case 'literal':
        return `{ kind: 'one', of: ${JSON.stringify(def.values)} }`;
      case 'union':
        return `{ kind: 'either', of: [${def.options.map((option) => this.print(option)).join(', ')}] }`;
      case 'array':
        return `{ kind: 'list', of: ${this.print(def.element)}${this.#checks(def.checks)} }`;
      case 'record':
        return `{ kind: 'map', keys: ${this.print(def.keyType)}, values: ${this.print(def.valueType)} }`;
      case 'optional':
        return `{ kind: 'optional', of: ${this.print(def.innerType)} }`;
      case 'object':
        return this.#object(def);
      default:
        throw new Error(`No form can say what a schema of type ${def.type} says`);
    }
  }

  #object({ shape, catchall, checks }: z.core.$ZodObjectDef): string {
    const members = Object.entries(shape).map(([key, member]) => `${JSON.stringify(key)}: ${this.print(member)}`);
    const strict = catchall === undefined ? '' : ', isStrict: true';
    return `{ kind: 'object', members: { ${members.join(', ')} }${strict}${this.#checks(checks)} }`;
  }

  #checks(checks: readonly z.core.$ZodCheck[] = []): string {
    const texts = checks.flatMap((check) => this.#check(check as z.core.$ZodChecks));
    return texts.length === 0 ? '' : `, checks: [${texts.join(', ')}]`;
  }

  #check({ _zod: { def, check } }: z.core.$ZodChecks): string | readonly [] {
    const name: string = def.check;
    if (['describe', 'meta', 'less_than', 'greater_than'].includes(name)) return []; // for people, and in `bounds`
    if (def.check === 'string_format' && def.pattern !== undefined) return `{ pattern: ${def.pattern} }`;
    if (def.check === 'min_length') return `{ atLeast: ${def.minimum} }`;
    if ('fn' in def) return `{ holds: ${this.#nameOf(def.fn)} }`;
    if ('parse' in check) return `{ parse: ${this.#nameOf((check as unknown as Parsing).parse)} }`;
    throw new Error(`No form can say what a check of type ${name} says`);
  }

  #nameOf(wanted: unknown): string {
    for (const [from, exported] of Object.entries(modules)) {
      const name = Object.keys(exported).find((key) => exported[key] === wanted);
      if (name === undefined) continue;
      this.#imports.set(from, (this.#imports.get(from) ?? new Set()).add(name));
      return name;
    }
    throw new Error(`Forms find functions by their names in ${Object.keys(modules).join(', ')}, and not ${wanted}`);
  }
}

const formats: Readonly<Record<string, readonly [first: number, last: number]>> = {
  safeint: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint32: [0, 0xffffffff],
};

/** The bounds that a whole number has by its format and its checks. */
function bounds(def: z.core.$ZodNumberDef): string {
  const range = formats['format' in def ? String(def.format) : ''];
  if (range === undefined) throw new Error('A form has whole numbers with bounds');
  let [first, last] = range;
  for (const { _zod } of def.checks ?? []) {
    const check = (_zod as z.core.$ZodChecks['_zod']).def;
    if (check.check !== 'greater_than' && check.check !== 'less_than') continue;
    if (!check.inclusive) throw new Error('The bounds of a form belong to it');
    if (check.check === 'greater_than') first = Math.max(first, Number(check.value));
    else last = Math.min(last, Number(check.value));
  }
  return `first: ${first}, last: ${last}`;
}
