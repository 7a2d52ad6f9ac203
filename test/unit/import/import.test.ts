import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exitIdOf } from '../../../src/policy/exit-id.ts';
import { gatewayPolicy, imported, importedValues } from './samples.ts';

const namesOf = ({ document }: ReturnType<typeof importedValues>) => document?.policies?.map(({ name }) => name);
const egressIP = (address: string) => ({ egressGateway: { egressIP: address } });

describe('lists', () => {
  const item = gatewayPolicy('a', {});
  const rows: readonly (readonly [what: string, list: object])[] = [
    ['of anything', { apiVersion: 'v1', kind: 'List', items: [item] }],
    ['in lists', { apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'List', items: [item] }] }],
    [
      'of one kind, whose items leave it to the list',
      {
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumEgressGatewayPolicyList',
        items: [{ ...item, apiVersion: undefined, kind: undefined }].map((each) => JSON.parse(JSON.stringify(each))),
      },
    ],
  ];
  for (const [what, list] of rows) {
    test(`${what} are unpacked`, () => assert.deepEqual(namesOf(importedValues([list])), ['a']));
  }
});

describe('documents', () => {
  test('of other kinds are skipped with one warning each, empty ones without', () => {
    const { warnings, errors } = imported(
      '---\n---\napiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: b, namespace: c}\n',
    );
    assert.deepEqual(warnings, [
      'k8s.yaml Node a#: nothing to import in v1 Node: skipped',
      'k8s.yaml Service c/b#: nothing to import in serving.knative.dev/v1 Service: skipped',
    ]);
    assert.deepEqual(errors, ['result#: there is nothing to import']);
  });

  test('that are no Kubernetes objects are refused with their place', () => {
    const { errors } = imported('kind: 7\napiVersion: v1\nmetadata: {}\n---\n- a\n');
    assert.deepEqual(errors, [
      'k8s.yaml document 1#/kind: expected the kind of a Kubernetes object, got 7',
      'k8s.yaml document 1#/metadata/name: expected a name, got nothing',
      'k8s.yaml document 2#: expected a Kubernetes object, got ["a"]',
    ]);
  });

  test('that are there twice are refused', () => {
    const { document, errors } = importedValues([gatewayPolicy('a', {}), gatewayPolicy('a', {})]);
    assert.deepEqual(
      [document, ...errors.map(({ message }) => message)],
      [undefined, 'the same object is already there as k8s.json CiliumEgressGatewayPolicy a: keep one of them'],
    );
  });
});

describe('names', () => {
  test('longer than ours may be are cut, and a hash of the whole keeps them apart', () => {
    const long = (end: string) => gatewayPolicy(`${'a'.repeat(70)}-${end}`, {});
    const names = namesOf(importedValues([long('x'), long('y')])) ?? [];
    assert.deepEqual(
      names.map((name) => /^a{54}-[0-9a-f]{8}$/.test(name)),
      [true, true],
    );
    assert.notEqual(names[0], names[1]);
  });

  test('that different kinds share are told apart, which is told', () => {
    const nat = {
      apiVersion: 'cilium.io/v2alpha1',
      kind: 'CiliumEgressNATPolicy',
      metadata: { name: 'a' },
      spec: { egress: [{ podSelector: {} }], destinationCIDRs: ['203.0.113.0/24'], egressSourceIP: '192.168.60.9' },
    };
    const result = importedValues([gatewayPolicy('a', {}), nat]);
    const [first, second] = namesOf(result) ?? [];
    assert.match(`${first} ${second}`, /^a a-[0-9a-f]{8}$/);
    assert.equal(
      result.warnings.find(({ pointer }) => pointer === '/metadata/name')?.message,
      `policy "a" is called "${second}", since another one has the name`,
    );
  });

  test('of built-in exits become those of others', () => {
    const { document } = importedValues([gatewayPolicy('node', {})]);
    assert.deepEqual([document?.exits?.[0]?.name, document?.policies?.[0]?.exit], ['exit-node', 'exit-node']);
  });

  test('that make one id by chance get two', () => {
    const names = Array.from({ length: 20_000 }, (_, i) => `p${i}`);
    const [first = '', twin = ''] = [...Map.groupBy(names, exitIdOf).values()].find(({ length }) => length > 1) ?? [];
    const { document } = importedValues([
      gatewayPolicy(first, egressIP('192.168.60.1')),
      gatewayPolicy(twin, egressIP('192.168.60.2')),
    ]);
    assert.deepEqual(
      document?.exits?.map(({ id }) => id),
      [undefined, exitIdOf(twin) + 1],
    );
  });
});

test('what egress validate would warn of is told, too', () => {
  const { warnings } = importedValues([
    gatewayPolicy('a', {}),
    gatewayPolicy('b', { selectors: [{ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'x' } } }] }),
  ]);
  assert.deepEqual(
    warnings.filter(({ source }) => source === 'result').map(({ message }) => message),
    ['policy "b" decides nothing: "a" decides before it'],
  );
});
