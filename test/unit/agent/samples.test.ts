import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keyOfLabels, type Sample, shownPods } from '../../../src/agent/samples.ts';

const labels = (pod_name: string) => ({ pod_namespace: 'default', pod_name });

const samples = (packets: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(packets).map(([name, value]) => ({
    metric: 'pod_packets_total',
    labels: labels(name),
    of: name,
    value: BigInt(value),
  }));

const keys = (...names: readonly string[]) => new Set(names.map((name) => keyOfLabels(labels(name))));

const all = keys('a', 'b', 'c');

describe('pods with series of their own', () => {
  test('are the busiest, no more than are wanted', () => {
    assert.deepEqual(shownPods(samples({ a: 1, b: 3, c: 2 }), 2, all, new Set()), keys('b', 'c'));
    assert.deepEqual(shownPods(samples({ a: 1 }), 0, all, new Set()), keys());
    assert.deepEqual(shownPods(samples({ a: 1 }), 5, all, new Set()), keys('a'));
  });

  test('stay when others become busier, until they are gone', () => {
    assert.deepEqual(shownPods(samples({ a: 1, b: 3, c: 9 }), 2, all, keys('a', 'b')), keys('a', 'b'));
    assert.deepEqual(shownPods(samples({ a: 1, c: 9 }), 2, keys('a', 'c'), keys('a', 'b')), keys('a', 'c'));
  });

  test('stay while the kernel has no counter of theirs, as after a flush', () => {
    assert.deepEqual(shownPods([], 2, all, keys('a', 'b')), keys('a', 'b'));
    assert.deepEqual(shownPods(samples({ c: 9 }), 2, all, keys('a')), keys('a', 'c'));
    assert.deepEqual(shownPods([], 2, keys('b'), keys('a', 'b')), keys('b'));
  });

  test('are judged by all their interfaces', () => {
    const [a] = samples({ a: 3 });
    assert.ok(a);
    assert.deepEqual(shownPods([...samples({ a: 3, b: 5 }), { ...a, of: 'a2' }], 1, all, new Set()), keys('a'));
  });
});
