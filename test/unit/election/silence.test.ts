import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Silence } from '../../../src/election/silence.ts';

const interval = 10;
const [late, inTime] = [60, 20];
const advertisement = { priority: 254, source: '192.0.2.1' } as Parameters<Silence['heard']>[0];

test('a timer that comes late is not believed, three times at most, until somebody speaks or answers', () => {
  const silence = new Silence(interval);
  const doubts = () => [1, 2, 3, 4].map(() => silence.doubts(late));
  assert.equal(silence.doubts(inTime), false);
  assert.deepEqual(doubts(), [true, true, true, false]);
  silence.answered('02:00:00:00:00:01', 1_000);
  assert.deepEqual(doubts(), [true, true, true, false]);
  silence.heard(advertisement, 2_000);
  assert.deepEqual(doubts(), [true, true, true, false]);
});
