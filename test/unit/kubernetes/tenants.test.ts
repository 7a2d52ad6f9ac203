import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configurationOf } from '../../../src/config/configuration.ts';
import type { KeptObjects } from '../../../src/config/kept.ts';
import { lineOf } from '../../../src/config/problem.ts';
import { type EgressObject, egressObjectOf } from '../../../src/kubernetes/objects.ts';
import { translate } from '../../../src/kubernetes/translate.ts';
import { matchFor } from '../../../src/policy/decision.ts';
import { programFor } from '../../../src/policy/program.ts';
import { wishesOf } from '../../../src/policy/wishes.ts';

const object = (name: string, spec: object, namespace?: string): EgressObject =>
  egressObjectOf({ metadata: { name, generation: 1, ...(namespace !== undefined && { namespace }) }, spec });

const open = object('partners', { interface: 'eth1', annotationNamespaces: ['shop', 'shop-*'] });
const internal = object('internal', { interface: 'eth2' });

/** What comes of tenants' policies beside those of the cluster. */
function made(
  tenants: readonly EgressObject[],
  policies: readonly EgressObject[] = [],
  before?: KeptObjects,
  exits = [open, internal],
) {
  const { kept, verdicts } = translate({ nodes: [], exits, policies, tenants }, [], before);
  const said = verdicts
    .filter(({ kind }) => kind === 'NamespacedEgressPolicy')
    .map(({ name, inForce, problems }) => [name, inForce, ...problems.map((one) => lineOf({ ...one, source: '' }))]);
  return { kept, said };
}

/** The exit that decides about a pod's packet. */
function exitFor(kept: KeptObjects, namespace: string, destination: string, annotations?: Record<string, string>) {
  const configuration = configurationOf({ type: 'egress' }, [kept.document], kept);
  const pod = { namespace, name: 'x', ...(annotations && { annotations }) };
  return (
    matchFor(programFor(configuration.policies, pod, wishesOf(configuration, pod)), { destination })?.exit ?? 'node'
  );
}

const partners = object('p', { destinations: ['203.0.113.0/24'], exit: 'partners' }, 'shop');

describe('a policy of a namespace', () => {
  test('is for pods of that namespace alone, by an exit that is open to it', () => {
    const { kept, said } = made([partners]);
    assert.deepEqual(said, [['shop/p', 'own']]);
    assert.deepEqual(kept.tenants, ['shop.p']);
    assert.equal(exitFor(kept, 'shop', '203.0.113.1'), 'partners');
    assert.equal(exitFor(kept, 'shop-a', '203.0.113.1'), 'node');
  });

  test('by an exit that is not open is refused with the words of annotations, and what it is for is dropped', () => {
    const { kept, said } = made([object('p', { destinations: ['203.0.113.0/24'], exit: 'internal' }, 'shop')]);
    assert.deepEqual(said, [
      [
        'shop/p',
        'dropped',
        '#/spec/exit: exit "internal" is not open to pods of namespace "shop" by its "annotationNamespaces", expected one of "drop", "partners"',
      ],
    ]);
    assert.equal(exitFor(kept, 'shop', '203.0.113.1'), 'drop');
    assert.deepEqual(kept.refused, ['shop.p']);
  });

  test('learns of no exit that is not open to it', () => {
    const { said } = made([object('p', { exit: 'interal' }, 'shop')]);
    assert.deepEqual(said, [
      ['shop/p', 'dropped', '#/spec/exit: unknown exit "interal", expected one of "drop", "partners"'],
    ]);
    const { said: ofNode } = made([object('p', { exit: 'node' }, 'shop')]);
    assert.match(String(ofNode[0]?.[2]), /exit "node" is not open to pods of namespace "shop"/);
  });

  for (const [key, value] of Object.entries({
    namespaces: ['*'],
    namespaceSelector: {},
    priority: 5,
    optIn: true,
    name: 'other',
  }))
    test(`with "${key}", which is for others’ pods or over others’ heads, is refused`, () => {
      const { kept, said } = made([object('p', { exit: 'partners', [key]: value }, 'shop')]);
      assert.deepEqual(said, [
        ['shop/p', 'nothing', `#/spec/${key}: "${key}" is for policies of the whole cluster: leave it out`],
      ]);
      assert.deepEqual(kept.document.policies, []);
    });

  test('loses an exit that is closed to it, also what it had before', () => {
    const { kept: before } = made([partners]);
    const closed = object('partners', { interface: 'eth1', annotationNamespaces: ['bank'] });
    const { kept, said } = made([partners], [], before, [closed]);
    assert.equal(said[0]?.[1], 'dropped');
    assert.equal(exitFor(kept, 'shop', '203.0.113.1'), 'drop');
  });

  test('that is wrong now keeps what it said before, while that is open', () => {
    const { kept: before } = made([partners]);
    const { kept, said } = made(
      [object('p', { destinations: ['203.0.113.0/99'], exit: 'partners' }, 'shop')],
      [],
      before,
    );
    assert.equal(said[0]?.[1], 'earlier');
    assert.equal(exitFor(kept, 'shop', '203.0.113.1'), 'partners');
  });

  test('comes before the cluster’s of priority 0, and behind higher ones and behind every drop', () => {
    const cluster = (name: string, destination: string, more: object) =>
      object(name, { namespaces: ['*'], destinations: [destination], ...more });
    const all = object('p', { exit: 'partners' }, 'shop');
    const { kept } = made(
      [all],
      [
        cluster('longer', '203.0.113.0/24', { exit: 'internal' }),
        cluster('high', '198.51.100.0/24', { exit: 'internal', priority: 1 }),
      ],
    );
    assert.equal(exitFor(kept, 'shop', '203.0.113.1'), 'partners');
    assert.equal(exitFor(kept, 'shop', '198.51.100.1'), 'internal');
    assert.equal(exitFor(kept, 'bank', '203.0.113.1'), 'internal');
    const { kept: sealed } = made([all], [cluster('sealed', '192.0.2.0/24', { exit: 'drop', priority: -7 })]);
    assert.equal(exitFor(sealed, 'shop', '192.0.2.1'), 'drop');
    assert.equal(exitFor(sealed, 'shop', '203.0.113.1'), 'partners');
  });

  test('gives way to the annotation of a pod, but for what it drops', () => {
    const { kept } = made([
      object('p', { destinations: ['203.0.113.0/24'], exit: 'drop' }, 'shop'),
      object('q', { exit: 'drop', destinations: ['198.51.100.0/24'] }, 'bank'),
    ]);
    assert.equal(exitFor(kept, 'shop', '203.0.113.1', { exit: 'partners' }), 'drop');
    assert.equal(exitFor(kept, 'shop', '198.51.100.1', { exit: 'partners' }), 'partners');
    const { kept: steered } = made([object('p', { exit: 'partners' }, 'shop')]);
    assert.equal(exitFor(steered, 'shop', '203.0.113.1', { exit: 'drop' }), 'drop');
  });

  test('takes no name from the cluster’s, however old it is', () => {
    const older = egressObjectOf({
      metadata: { name: 'p', namespace: 'shop', generation: 1, creationTimestamp: '2020-01-01T00:00:00Z' },
      spec: { exit: 'partners' },
    });
    const { kept, said } = made([older], [object('shop.p', { namespaces: ['bank'], exit: 'internal' })]);
    assert.deepEqual(said, [['shop/p', 'nothing', '#/spec: policy "shop.p" is already at EgressPolicy/shop.p#/spec']]);
    assert.equal(exitFor(kept, 'bank', '203.0.113.1'), 'internal');
  });
});
