/**
 * Writes what is published of schemas: one JSON Schema for each document of the configuration, which editors use, with the
 * table of options in conf/README.md, and one each for what `egress doctor --json` and `egress status --json` print; and the forms that
 * the plugin judges by. Run it after a change of src/config/schema.ts or of a schema in src/report or src/store: `npm run schema`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import { chainEntrySchema, policyDocumentSchema } from '../src/config/schema.ts';
import { doctorReportSchema } from '../src/report/doctor/schema.ts';
import { statusSchema } from '../src/report/status-schema.ts';
import { customResourceDefinitions } from './custom-resources.ts';
import { formFiles } from './forms.ts';

interface JsonSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
}

const schemaOf = (schema: z.ZodMiniType) => z.toJSONSchema(schema, { io: 'input' }) as JsonSchema;

const inConf = (file: string): string => fileURLToPath(new URL(`../conf/${file}`, import.meta.url));

const inSrc = (file: string): string => fileURLToPath(new URL(`../src/${file}`, import.meta.url));

/** The content of every written file, by its path. */
export function publishedFiles(): Map<string, string> {
  const files = {
    'policy.schema.json': JSON.stringify(schemaOf(policyDocumentSchema)),
    'chain-entry.schema.json': JSON.stringify(schemaOf(chainEntrySchema)),
    'doctor.schema.json': JSON.stringify(z.toJSONSchema(doctorReportSchema)),
    'status.schema.json': JSON.stringify(z.toJSONSchema(statusSchema)),
    'README.md': withOptionTable(readFileSync(inConf('README.md'), 'utf8')),
  };
  const definitions = ['kustomize', 'helm/cni-egress/crds'].map((folder) =>
    fileURLToPath(new URL(`${folder}/custom-resources.yaml`, import.meta.url)),
  );
  const contents = [
    ...Object.entries(files).map(([file, content]) => [inConf(file), content] as const),
    ...definitions.map((path) => [path, customResourceDefinitions()] as const),
    ...[...formFiles()].map(([file, content]) => [inSrc(file), content] as const),
  ];
  return new Map(contents.map(([path, content]) => [path, formatted(path, content)]));
}

/** As `biome check` wants it, so that what is written here is also what the check accepts. */
function formatted(path: string, content: string): string {
  const biome = fileURLToPath(new URL('../node_modules/@biomejs/biome/bin/biome', import.meta.url));
  return execFileSync(process.execPath, [biome, 'format', `--stdin-file-path=${path}`], {
    input: content,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

const beforeTable = '<!-- The table is written by `npm run schema`. -->\n\n';

const withOptionTable = (readme: string): string =>
  readme.replace(new RegExp(`(?<=${beforeTable})(\\|.*\n)+`), () => optionTable());

function optionTable(): string {
  const file = optionRows(schemaOf(policyDocumentSchema));
  const entry = optionRows(schemaOf(chainEntrySchema));
  return [
    '| option | default | meaning | where |\n|---|---|---|---|\n',
    ...file.map((row) => `${row} ${entry.includes(row) ? 'both' : 'file'} |\n`),
    ...entry.filter((row) => !file.includes(row)).map((row) => `${row} entry |\n`),
  ].join('');
}

/** `| option | default | meaning |` of each option, those within others as `tunnel.port` and `exits[].name`. */
function optionRows({ properties = {}, required = [] }: JsonSchema, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([key, option]) => [
    `| \`${prefix}${key}\` | ${required.includes(key) ? 'required' : shownDefault(option)} | ${option.description} |`,
    ...optionRows(option.items ?? option, `${prefix}${key}${option.items ? '[]' : ''}.`),
  ]);
}

const shownDefault = (option: JsonSchema): string =>
  'default' in option ? `\`${JSON.stringify(option.default)}\`` : '–';

if (import.meta.main) {
  for (const [path, content] of publishedFiles()) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}
