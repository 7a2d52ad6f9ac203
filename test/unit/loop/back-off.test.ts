import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackOff } from '../../../src/loop/back-off.ts';

/** Repairs whenever it may, against somebody who destroys at once; the times of the repairs until `end`. */
function fight(end: number, destroyEvery = 0): number[] {
  const backOff = new BackOff();
  const repairs: number[] = [];
  for (let now = 0; now < end; now += destroyEvery) {
    now += backOff.pause(now);
    backOff.repaired(now);
    repairs.push(now);
  }
  return repairs;
}

describe('putting the entry back', () => {
  test('is done at once as long as that is seldom', () => {
    const seldom = fight(3_600_000, 10_000);
    assert.equal(seldom.length, 360);
  });

  test('gets slower and slower against somebody who takes it out each time, but never ends', () => {
    const repairs = fight(600_000);
    const gaps = repairs.slice(1).map((time, i) => time - (repairs[i] ?? 0));
    assert.ok(repairs.length < 200, `${repairs.length} repairs in ten minutes`);
    assert.ok(Math.max(...gaps) <= 10_000);
    assert.deepEqual(gaps.slice(10, 14), [200, 400, 800, 1600]);
  });

  test('is done at once again after a quiet minute', () => {
    const backOff = new BackOff();
    for (let i = 0; i < 20; i++) backOff.repaired(i);
    assert.ok(backOff.pause(20) > 0);
    assert.equal(backOff.pause(61_000), 0);
  });
});
