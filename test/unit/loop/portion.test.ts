import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Portion } from '../../../src/loop/portion.ts';

const bounds = { least: 8, most: 32, milliseconds: 12 } as const;

/** Its sizes, before anything and behind each time. */
function sizes(...times: readonly (readonly [count: number, milliseconds: number])[]): number[] {
  const portion = new Portion(bounds);
  const behind = times.map(([count, milliseconds]) => {
    portion.took(count, milliseconds);
    return portion.size;
  });
  return [bounds.least, ...behind];
}

describe('a portion', () => {
  test('is small at first, and grows while each time is short', () => {
    assert.equal(new Portion(bounds).size, 8);
    assert.deepEqual(sizes([8, 3], [16, 5], [32, 9], [32, 12]), [8, 16, 32, 32, 32]);
  });

  test('halves behind a long time, and is never less than at first', () => {
    assert.deepEqual(sizes([8, 3], [16, 5], [32, 13], [16, 80], [8, 80]), [8, 16, 32, 16, 8, 8]);
  });

  test('does not grow by what was less than one', () => {
    assert.deepEqual(sizes([7, 1], [8, 1], [2, 1]), [8, 8, 16, 16]);
  });
});
