import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Silence } from '../../../src/election/silence.ts';

const interval = 10;
const backup = { name: 'backup', downAt: 15 * interval } as Parameters<Silence['nextQuestion']>[0];
const advertisement = (priority: number) => ({ priority, source: '192.0.2.1' }) as Parameters<Silence['heard']>[0];

test('a timer is believed behind ten questions in time that nobody answered, or when it was not believed ten times', () => {
  const silence = new Silence(interval);
  let now = -interval;
  const ask = (times: number, pause = interval) => {
    for (let i = 0; i < times; i++) {
      now += pause;
      assert.ok(silence.isQuestionDue(backup, now));
    }
  };
  ask(9);
  assert.equal(silence.doubts(now), true);
  ask(5, 2 * interval); // who is kept from asking knows nothing
  assert.equal(silence.doubts(now), true);
  ask(1);
  assert.equal(silence.doubts(now), false);
  silence.answered('02:00:00:00:00:01', now);
  assert.equal(silence.doubts(now), true);
  ask(1, 3 * interval); // who answers for long is asked less often
  ask(9);
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
