import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { readAnnotations } from '../../../src/cni/annotations.ts';
import { judgePolicy, readPolicy, repetitions } from '../../../src/config/read.ts';
import { warningsOf } from '../../../src/config/warnings.ts';
import { programOf, wishesOf } from '../../../src/policy/wishes.ts';
import { type Schema, schemaProblems } from './json-schema.ts';

const folder = new URL('../../../conf/examples/', import.meta.url);
const text = (path: string): string => readFileSync(new URL(path, folder), 'utf8');
const schema: Schema = JSON.parse(text('../policy.schema.json'));

const examples = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(json|yaml)$/.test(path))
  .sort();
const policyFiles = examples.filter((path) => path.endsWith('.json'));
const manifests = examples.filter((path) => path.endsWith('.yaml'));

/** What is warned of, and is what the example shows. */
const meant: Readonly<Record<string, string[]>> = { 'dual-stack.json': ['/policies/1'] };

for (const path of ['../policy.json', '../gateway.json', ...policyFiles]) {
  describe(join('conf/examples', path), () => {
    test('has no mistakes, and "egress validate" warns of nothing but what it shows', () => {
      const judged = judgePolicy(path, JSON.parse(text(path)), repetitions(path, text(path)));
      assert.ok('value' in judged, JSON.stringify(judged));
      const pointers = warningsOf(path, judged.value).map(({ pointer }) => pointer);
      assert.deepEqual(pointers, meant[path] ?? []);
    });

    test('is right to an editor, which finds the JSON Schema by its first line', () => {
      const document = JSON.parse(text(path));
      assert.deepEqual(schemaProblems(document, schema), []);
      assert.equal(Object.keys(document)[0], '$schema');
      const named = new URL(document.$schema, new URL(path, folder));
      assert.equal(fileURLToPath(named), fileURLToPath(new URL('../policy.schema.json', folder)));
    });
  });
}

for (const path of manifests) {
  test(`conf/examples/${path} asks for what policy.json beside it opens, and gets it`, () => {
    const { apiVersion, kind, metadata } = parse(text(path));
    assert.deepEqual([apiVersion, kind], ['v1', 'Pod']);
    const pod = { namespace: metadata.namespace, name: metadata.name };
    const asking = { ...pod, annotations: passed(metadata.annotations) };
    const rules = readPolicy('/policy.json', () => text('annotations/policy.json'));
    const { named, own } = wishesOf(rules, asking);
    assert.ok(named.size > 0 || own !== undefined);
    assert.notDeepEqual(programOf(rules, asking), programOf(rules, pod));
  });
}

test('conf/10-bridge-egress.conflist is right to an editor, as far as it is ours', () => {
  const { plugins } = JSON.parse(text('../10-bridge-egress.conflist'));
  const entrySchema: Schema = JSON.parse(text('../chain-entry.schema.json'));
  assert.deepEqual(schemaProblems(plugins[1], entrySchema), []);
  assert.deepEqual(schemaProblems({ ...plugins[1], 'cni.dev/x': 1 }, entrySchema), []);
  const wrong = { ...plugins[1], ipam: {}, capabilities: { 'io.kubernetes.cri.pod-annotations': 'yes' } };
  assert.equal(schemaProblems(wrong, entrySchema).length, 2);
});

/** What the plugin takes of a manifest's annotations, when it is told them as the example of a conflist wants it. */
function passed(annotations: unknown) {
  const { plugins } = JSON.parse(text('../10-bridge-egress.conflist'));
  const [capability = ''] = Object.keys(plugins[1].capabilities);
  return readAnnotations({ runtimeConfig: { [capability]: annotations } }) ?? {};
}

describe('the JSON Schema', () => {
  const exit = { name: 'a', interface: 'eth1' };
  const mistakes: readonly (readonly [string, object])[] = [
    ['/exit is unknown', { exit: [] }],
    ['a name of an exit is no text', { exits: [{ ...exit, name: 1 }] }],
    ['an exit leads nowhere', { exits: [{ name: 'a' }] }],
    [
      'a next hop needs an interface',
      { exits: [{ name: 'a', gateways: ['192.0.2.1'], nextHop: '192.0.2.2', addresses: ['192.0.2.1'] }] },
    ],
    ['a list is empty', { exits: [{ ...exit, addresses: [] }] }],
    ['an address is there twice', { exits: [{ ...exit, addresses: ['192.0.2.1', '192.0.2.1'] }] }],
    ['a number is too large', { exits: [{ ...exit, id: 16384 }] }],
    ['a name has a space', { exits: [{ ...exit, name: 'a b' }] }],
    ['a word is none of several', { exits: [{ ...exit, onUnavailable: 'wait' }] }],
    ['a policy has no exit', { policies: [{ name: 'a', namespaces: ['*'] }] }],
  ];
  for (const [what, document] of mistakes) {
    test(`shows an editor that ${what}`, () => assert.equal(schemaProblems(document, schema).length, 1));
  }
});

describe('README.md', () => {
  const rows = text('README.md')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2);
  const filesOf = (row: string): string[] => [...row.matchAll(/\]\(([^)]+)\)/g)].map(([, path = '']) => path);

  test('has a row for every example, and names none that is not there', () => {
    const named = rows.flatMap(filesOf);
    assert.deepEqual(
      named.filter((path) => !existsSync(new URL(path, folder))),
      [],
    );
    assert.deepEqual(
      examples.filter((path) => !named.includes(path)),
      [],
    );
    for (const path of ['../policy.json', '../gateway.json', '../10-bridge-egress.conflist'])
      assert.ok(named.includes(path));
  });

  test('names tests that are there, and every one of them', () => {
    const source = readFileSync(new URL('../../lab/promises.test.ts', import.meta.url), 'utf8');
    const titles = [...source.matchAll(/^ {2}test(?:\.todo)?\('([^']+)'/gm)].map(([, title]) => title);
    const shown = rows.map((row) => row.split('|').at(-2)?.trim());
    assert.deepEqual([...new Set(shown)].sort(), titles.sort());
  });
});
