import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { publishedFiles } from '../../../install/schema.ts';
import { EgressError, errorTable } from '../../../src/base/errors.ts';
import { judgePolicy, readChainEntry, readConfiguration, readPolicy } from '../../../src/config/read.ts';
import { warningsOf } from '../../../src/config/warnings.ts';
import { annotationPrefix } from '../../../src/policy/match.ts';
import { programFor } from '../../../src/policy/program.ts';
import { annotationKeys, programOf } from '../../../src/policy/wishes.ts';

const root = resolve(import.meta.dirname, '../../..');
const conf = new URL('../../../conf/', import.meta.url);
const example = (file: string): string => readFileSync(new URL(file, conf), 'utf8');
const readExample = (file: string) => readPolicy(`/${file}`, () => example(file));

describe('what is generated from the schema', () => {
  for (const [path, content] of publishedFiles()) {
    test(`${relative(root, path)} is what "npm run schema" writes`, () => {
      assert.equal(readFileSync(path, 'utf8'), content);
    });
  }

  test('the schema of exits says what an exit must have', () => {
    const { exits } = JSON.parse(example('policy.schema.json')).properties;
    assert.deepEqual(exits.items.anyOf, [{ required: ['interface'] }, { required: ['gateways'] }]);
    assert.deepEqual(exits.items.dependentRequired, {
      nextHop: ['interface'],
      gateways: ['addresses'],
      vrid: ['gateways'],
      addressesOn: ['addresses'],
      portBlocksPerNamespace: ['portsPerPod'],
    });
    assert.equal(exits.items.properties.gateways.uniqueItems, true);
  });

  interface Described {
    readonly description?: string;
    readonly properties?: Record<string, Described>;
    readonly items?: Described;
  }

  function undescribed({ properties = {} }: Described, place = ''): string[] {
    return Object.entries(properties).flatMap(([key, option]) => [
      ...(option.description ? [] : [`${place}/${key}`]),
      ...undescribed(option.items ?? option, `${place}/${key}`),
    ]);
  }

  /** Every option, as the table calls it. */
  function optionsOf({ properties = {} }: Described, prefix = ''): string[] {
    return Object.entries(properties).flatMap(([key, option]) => [
      prefix + key,
      ...optionsOf(option.items ?? option, `${prefix}${key}${option.items ? '[]' : ''}.`),
    ]);
  }

  for (const file of ['policy.schema.json', 'chain-entry.schema.json']) {
    test(`${file} describes every option`, () => assert.deepEqual(undescribed(JSON.parse(example(file))), []));
  }

  test('the table in README.md has a row for every option of both documents', () => {
    const options = ['policy.schema.json', 'chain-entry.schema.json'].flatMap((file) =>
      optionsOf(JSON.parse(example(file))),
    );
    assert.deepEqual(
      options.filter((option) => !example('README.md').includes(`\n| \`${option}\` `)),
      [],
    );
  });
});

/** One mistake each, in the order in which README.md shows what is told about them. */
const wrongAnnotations: readonly Readonly<Record<string, string>>[] = [
  { exits: 'partners' },
  { policy: 'lab,' },
  { ports: 'tcp:443' },
  { exit: 'partners', destinations: '203.0.113.0/33' },
  { policy: 'labs' },
  { exit: 'intranet' },
  { policy: 'payroll' },
  { exit: 'internal' },
  { exit: 'partners', destinations: '198.51.100.7' },
];

describe('the examples', () => {
  test('are all tested here, in examples.test.ts or in service.test.ts', () => {
    const files = readdirSync(conf).filter((file) => !/\.schema\.json$|\.md$|^(examples|pictures)$/.test(file));
    assert.deepEqual(files.sort(), [
      '10-bridge-egress.conflist',
      'egress-agent.service',
      'gateway.json',
      'policy.json',
    ]);
  });

  test('10-bridge-egress.conflist puts egress behind a plugin that routes pods through the host', () => {
    const { cniVersion, name, plugins } = JSON.parse(example('10-bridge-egress.conflist'));
    const [bridge, egress] = plugins;
    assert.deepEqual([bridge.type, bridge.isGateway, bridge.ipMasq, plugins.length], ['bridge', true, true, 2]);
    // What the runtime makes of an entry (CNI specification, "Deriving execution configuration from plugin configuration").
    const entry = readChainEntry({ ...egress, cniVersion, name, prevResult: {}, runtimeConfig: {} });
    assert.deepEqual(entry.capabilities, { 'io.kubernetes.cri.pod-annotations': true });
    for (const file of ['policy.json', 'gateway.json'])
      assert.doesNotThrow(() => readConfiguration(entry, () => example(file)));
  });

  for (const file of ['policy.json', 'gateway.json']) {
    test(`${file} has neither mistakes nor what "egress validate" warns of`, () => {
      const judged = judgePolicy(file, JSON.parse(example(file)), []);
      assert.ok('value' in judged, JSON.stringify(judged));
      assert.deepEqual(warningsOf(file, judged.value), []);
    });
  }

  test('policy.json does what README.md says of it', () => {
    const { policies, exits } = readExample('policy.json');
    const programOf = (namespace: string) =>
      programFor(policies, { namespace }).map(({ policy, family }) => `${policy} ${family}`);
    assert.deepEqual(
      exits.map(({ nextHops, addresses }) => [nextHops, addresses]),
      [
        [{ 4: '192.168.0.1' }, ['192.168.0.245']],
        [{}, ['192.168.0.245']],
      ],
    );
    assert.deepEqual(programOf('partner-x'), ['partner-lan 4', 'intranet 4', 'partner-apps 4', 'partner-apps 6']);
    assert.deepEqual(programOf('default'), ['partner-lan 4']);
    assert.deepEqual(programOf('sandbox'), ['sealed 4', 'sealed 6']);
  });

  test('gateway.json does what README.md says of it', () => {
    const { policies, exits, nodes, tunnel } = readExample('gateway.json');
    const [internet] = exits;
    assert.deepEqual(internet?.addresses, ['172.18.0.33', 'fd00:172::33']);
    assert.deepEqual(internet.gateways, ['172.18.0.3', '172.18.0.4']);
    assert.deepEqual(
      tunnel.sources,
      nodes.map(({ address }) => `${address}/32`),
    );
    const programOf = (namespace: string) =>
      programFor(policies, { namespace }).map(({ exit, family }) => `${exit} ${family}`);
    assert.deepEqual(programOf('default'), ['internet 4', 'internet 6']);
    assert.deepEqual(programOf('other'), []);
  });

  test('gateway.json does with replies by the tunnel, too', () => {
    const overlay = { ...JSON.parse(example('gateway.json')), tunnel: { replyPath: 'tunnel' } };
    assert.doesNotThrow(() => readPolicy('/gateway.json', () => JSON.stringify(overlay)));
  });

  test('README.md shows mistakes in annotations as they are really told, with the numbers of their errors', () => {
    const section =
      example('README.md')
        .split('\n## ')
        .find((text) => text.startsWith('Annotations\n')) ?? '';
    const [, file = '', told = ''] = /```json\n(.*?)```.*?```\n(.*?)```/s.exec(section) ?? [];
    const rules = readPolicy('/p.json', () => file);
    const messages = wrongAnnotations.map((annotations) => {
      try {
        return String(programOf(rules, { namespace: 'partner-a', name: 'web-0', annotations }));
      } catch (error) {
        assert.ok(error instanceof EgressError);
        return `${errorTable[error.code].number} ${error.message}`;
      }
    });
    assert.deepEqual(told.trimEnd().split('\n'), messages);
    assert.deepEqual(
      annotationKeys.filter((key) => !section.includes(`\n| \`${annotationPrefix}${key}\` `)),
      [],
    );
  });

  test('README.md shows mistakes as they are really told', () => {
    const policy = { exits: [{ name: 'partners', interface: 'eth1', nextHop: '192.168.0', adresses: [] }] };
    assert.throws(
      () => readConfiguration({ type: 'egress' }, () => JSON.stringify(policy)),
      (error) => error instanceof EgressError && example('README.md').includes(`\n${error.message}\n`),
    );
  });
});
