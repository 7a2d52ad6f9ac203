import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Health, longestSilence } from '../../../src/agent/health.ts';

/** A health whose clock stands until it is told otherwise. */
function newHealth() {
  const clock = { time: 0 };
  return { clock, health: new Health(() => clock.time) };
}

describe('the health of an agent', () => {
  test('is alive while it waits for another agent, however long, and not ready', () => {
    const { clock, health } = newHealth();
    clock.time = 10 * longestSilence;
    assert.equal(health.whyNotAlive(), undefined);
    assert.match(health.whyNotReady() ?? '', /waits for another agent/);
  });

  test('is ready after a round that succeeded, and not before', () => {
    const { health } = newHealth();
    health.began();
    assert.match(health.whyNotReady() ?? '', /No round has succeeded/);
    health.failed();
    assert.match(health.whyNotReady() ?? '', /No round has succeeded/);
    health.succeeded(true);
    assert.equal(health.whyNotReady(), undefined);
    health.failed();
    assert.equal(health.whyNotReady(), undefined);
  });

  test('is not ready while the configuration cannot be read, and alive', () => {
    const { health } = newHealth();
    health.began();
    health.succeeded(false);
    assert.match(health.whyNotReady() ?? '', /configuration cannot be read/);
    assert.equal(health.whyNotAlive(), undefined);
  });

  test('is not ready without a right that it needs, and says which', () => {
    const { health } = newHealth();
    health.began();
    health.succeeded(true, ['this process lacks CAP_BPF']);
    assert.equal(health.whyNotReady(), 'this process lacks CAP_BPF.');
    assert.equal(health.whyNotAlive(), undefined);
    health.succeeded(true);
    assert.equal(health.whyNotReady(), undefined);
  });

  test('is not alive when no round ends any more, though the first may never have ended', () => {
    const { clock, health } = newHealth();
    health.began();
    clock.time = longestSilence;
    assert.equal(health.whyNotAlive(), undefined);
    clock.time += 1;
    assert.match(health.whyNotAlive() ?? '', /No round has ended for 120 seconds/);
    health.succeeded(true);
    assert.equal(health.whyNotAlive(), undefined);
  });
});
