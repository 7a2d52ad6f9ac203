import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPod, labelledPodOf } from '../../../src/kubernetes/objects.ts';

test('a pod is the one with the UID that a runtime tells: its own, or that of its static pod; or none is told', () => {
  const annotations = { 'kubernetes.io/config.hash': 'static' };
  const mirror = labelledPodOf({ metadata: { name: 'etcd', uid: 'mirror', annotations, labels: { tier: 'control' } } });
  assert.deepEqual(mirror, { uid: 'mirror', staticUid: 'static', labels: { tier: 'control' } });
  assert.deepEqual(
    ['mirror', 'static', undefined, 'other'].map((uid) => isPod(mirror, uid)),
    [true, true, true, false],
  );
  const plain = labelledPodOf({ metadata: { name: 'web', uid: 'a' } });
  assert.deepEqual([isPod(plain, 'a'), isPod(plain, 'static'), plain.labels], [true, false, {}]);
});
