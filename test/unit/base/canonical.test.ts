import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, isEqual } from '../../../src/base/canonical.ts';

/** The same value with the keys of every object in another order. */
function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([key, member]) => [key, reordered(member)] as const);
  return Object.fromEntries(entries.reverse());
}

/** As JSON has it: no -0. */
const anyJson = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);

describe('canonical JSON', () => {
  test('has the keys in order at every depth', () => {
    assert.equal(canonicalJson({ b: [{ d: 1, c: 2 }], a: null }), '{"a":null,"b":[{"c":2,"d":1}]}');
  });

  test('leaves absent values out', () => {
    assert.equal(canonicalJson({ b: undefined, a: { c: undefined } }), '{"a":{}}');
  });

  test('is equal for equal data, whatever the order of the keys', () => {
    fc.assert(fc.property(anyJson, (value) => assert.equal(canonicalJson(reordered(value)), canonicalJson(value))));
  });

  test('says all that the data says', () => {
    fc.assert(fc.property(anyJson, (value) => assert.deepEqual(JSON.parse(canonicalJson(value)), value)));
  });

  test('keeps the order of lists', () => {
    assert.notEqual(canonicalJson([1, 2]), canonicalJson([2, 1]));
  });
});

describe('data is equal', () => {
  const isEqualAsText = (a: unknown, b: unknown) => canonicalJson(a) === canonicalJson(b);

  test('when its canonical JSON is', () => {
    // Small alphabets, so that equal and nearly equal values are common.
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        fc.constantFrom(null, 0, 1, '', 'a', true, undefined),
        fc.array(
          tie('tree').map((value) => value ?? null),
          { maxLength: 2 },
        ),
        fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), tie('tree'), { maxKeys: 2 }),
      ),
    }));
    fc.assert(
      fc.property(tree, tree, (a, b) => assert.equal(isEqual(a, b), isEqualAsText(a, b))),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(anyJson, (value) => assert.ok(isEqual(reordered(value), value))));
  });

  test('whether a member is absent or undefined, but not when it is null', () => {
    assert.ok(isEqual({ a: 1, b: undefined }, { a: 1 }));
    assert.ok(!isEqual({ a: 1, b: null }, { a: 1 }));
    assert.ok(!isEqual({ a: undefined }, []));
  });
});
