import assert from 'node:assert/strict';
import { test } from 'node:test';
import { added, newMachine } from '../support/fake-machine.ts';

test('records are read again when one came, went or was replaced, and not while their folder is as it was', async (t) => {
  const { store, ...machine } = newMachine(t);
  const names = () => store.list().map(({ containerId }) => containerId);
  assert.deepEqual(names(), []);
  await added({ store, ...machine }, 'a', '10.0.0.5');
  assert.deepEqual(names(), ['a']);
  await added({ store, ...machine }, 'b', '10.0.0.6');
  assert.deepEqual(names(), ['a', 'b'], 'a moment later, when times tell nothing');
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10_000 });
  const before = store.list();
  assert.equal(store.list(), before);
  using _lock = await store.lock();
  const [first] = before;
  assert.ok(first);
  store.save({ ...first, pod: { name: 'other' } });
  t.mock.timers.setTime(Date.now() + 10_000);
  assert.deepEqual(
    store.list().map(({ pod }) => pod.name),
    ['other', 'pod-b'],
  );
  store.forget(first);
  t.mock.timers.setTime(Date.now() + 20_000);
  assert.deepEqual(names(), ['b']);
});
