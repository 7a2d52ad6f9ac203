import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Silence } from '../../../src/election/silence.ts';

const interval = 10;
const backup = { name: 'backup', downAt: 0 } as Parameters<Silence['nextQuestion']>[0];
const advertisement = (priority: number) => ({ priority, source: '192.0.2.1' }) as Parameters<Silence['heard']>[0];

test('a timer is believed behind eight questions that nobody answered, or when it was not believed ten times', () => {
  const silence = new Silence(interval);
  let now = 0;
  const ask = (times: number) => {
    for (let i = 0; i < times; i++) {
      now += 3 * interval;
      assert.ok(silence.isQuestionDue(backup, now));
    }
  };
  ask(7);
  assert.equal(silence.doubts(now), true);
  ask(1);
  assert.equal(silence.doubts(now), false);
  silence.answered('02:00:00:00:00:01', now);
  assert.equal(silence.doubts(now), true);
  ask(8);
  silence.heard(advertisement(254), now);
  assert.equal(silence.doubts(now + 150), false);
  now += 300;
  ask(2);
  assert.deepEqual(
    Array.from({ length: 11 }, () => silence.doubts(now)),
    [...Array.from({ length: 10 }, () => true), false],
  );
  silence.heard(advertisement(0), now);
  assert.equal(silence.doubts(now), false);
});
