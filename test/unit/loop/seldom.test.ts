import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seldom } from '../../../src/loop/seldom.ts';

test('what took long is not done again before so many times as long have passed, and what failed counts, too', async () => {
  let now = 1000;
  let done = 0;
  const seldom = new Seldom(() => now, 20);
  const takes = (milliseconds: number) =>
    seldom.do(async () => {
      done++;
      now += milliseconds;
    });
  await takes(10);
  now += 199;
  await takes(10);
  assert.equal(done, 1);
  now += 1;
  await takes(0);
  await takes(0);
  assert.equal(done, 3);
  const failing = seldom.do(async () => {
    now += 1;
    throw new Error('no');
  });
  await assert.rejects(failing, /no/);
  await takes(0);
  assert.equal(done, 3);
});
