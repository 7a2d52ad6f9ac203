import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Pace } from '../../../src/loop/pace.ts';

/** A pace whose clock and whose others the test sets, and all that it rested. */
function begun() {
  const world = { now: 0, isOtherAtWork: false, asked: 0, rested: 0 };
  const pace = new Pace({
    now: () => world.now,
    isOtherAtWork: () => {
      world.asked++;
      return world.isOtherAtWork;
    },
  });
  /** Works for some milliseconds, in steps of one, and rests when it is told to. */
  const work = (milliseconds: number) => {
    for (let done = 0; done < milliseconds; done++) {
      world.now++;
      const pause = pace.pause();
      world.now += pause;
      world.rested += pause;
    }
  };
  return { world, pace, work };
}

describe('work that can wait', () => {
  test('never rests alone, and looks for others once in five milliseconds', () => {
    const { world, work } = begun();
    work(1_000);
    assert.deepEqual([world.rested, world.asked], [0, 200]);
  });

  test('rests while somebody else is at work, and goes on a second later', () => {
    const { world, work } = begun();
    world.isOtherAtWork = true;
    work(10);
    assert.equal(world.rested, 500);
    world.isOtherAtWork = false;
    work(100);
    const { rested } = world;
    assert.ok(rested > 1_000 && rested <= 500 + 1_000, `${rested} ms`);
    work(1_000);
    assert.equal(world.rested, rested);
  });

  test('rests ten seconds at most, and as long again in the next task', () => {
    const { world, pace, work } = begun();
    world.isOtherAtWork = true;
    work(20_000);
    assert.equal(world.rested, 10_000);
    pace.begin();
    work(20_000);
    assert.equal(world.rested, 20_000);
  });

  test('rests not at all in a hurry, until a task that began behind it has ended', () => {
    const { world, pace, work } = begun();
    world.isOtherAtWork = true;
    const before = world.now;
    work(4);
    pace.hurry();
    pace.ended(before);
    work(20_000);
    assert.equal(world.rested, 0);
    pace.ended(world.now);
    work(10);
    assert.ok(world.rested > 0);
  });

  test('rests for a long stretch, as for a wait for the lock, no longer than for a short one', () => {
    const { world, pace } = begun();
    world.isOtherAtWork = true;
    world.now = 10_000;
    assert.equal(pace.pause(), 250);
  });

  test('rests for a second after others were met', () => {
    const { world, pace, work } = begun();
    pace.met();
    work(100);
    const { rested } = world;
    assert.ok(rested > 900 && rested < 1_000, `${rested} ms`);
    work(1_000);
    assert.equal(world.rested, rested);
  });

  test('tells whether others are at work, or were of late', () => {
    const { world, pace } = begun();
    assert.equal(pace.isBesideOthers, false);
    world.isOtherAtWork = true;
    assert.equal(pace.isBesideOthers, true);
    world.isOtherAtWork = false;
    world.now = 999;
    assert.equal(pace.isBesideOthers, true);
    world.now = 1_000;
    assert.equal(pace.isBesideOthers, false);
  });

  test('does not begin beside others, unless in a hurry', async (t) => {
    const { world, pace } = begun();
    const rests: number[] = [];
    t.mock.method(globalThis, 'setTimeout', (go: () => void, pause: number) => {
      rests.push(pause);
      world.now += pause;
      world.isOtherAtWork = rests.length < 3;
      queueMicrotask(go);
    });
    await pace.giveWay();
    assert.deepEqual(rests, []);
    world.isOtherAtWork = true;
    await pace.giveWay();
    assert.deepEqual(rests, [250, 250, 250, 250, 250, 250]);
    world.isOtherAtWork = true;
    pace.hurry();
    await pace.giveWay();
    assert.equal(rests.length, 6);
  });
});
