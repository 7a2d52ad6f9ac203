import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fnv1a } from '../../../src/base/fnv1a.ts';
import { exitIdOf, highestExitId } from '../../../src/policy/exit-id.ts';

describe('the id of an exit', () => {
  // draft-eastlake-fnv, appendix C
  for (const [text, hash] of [
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['foobar', 0xbf9cf968],
  ] as const) {
    test(`comes from FNV-1a, which is 0x${hash.toString(16)} for "${text}"`, () => assert.equal(fnv1a(text), hash));
  }

  test('is the same in every release: running nodes agree on it', () => {
    assert.deepEqual(['partners', 'internet'].map(exitIdOf), [14454, 2313]);
  });

  test('fits into the mark and is never 0', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const id = exitIdOf(name);
        assert.ok(Number.isInteger(id) && id >= 1 && id <= highestExitId, String(id));
      }),
    );
  });
});
