import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cut, shown } from '../../../src/base/shown.ts';

describe('a value in a message', () => {
  const rows: readonly (readonly [what: string, value: unknown, text: string])[] = [
    ['is its JSON', { a: [1, 'b', null, true] }, '{"a":[1,"b",null,true]}'],
    ['that is absent is nothing', undefined, 'nothing'],
    ['that is null is null', null, 'null'],
    ['that is no finite number is called so', Number.POSITIVE_INFINITY, 'Infinity'],
    ['with a key of an object’s own kind keeps it', JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
    ['that is long is its begin', 'x'.repeat(100), `"${'x'.repeat(59)}…`],
    ['that is nested deeply is its begin', JSON.parse('['.repeat(50_000) + ']'.repeat(50_000)), `${'['.repeat(60)}…`],
  ];
  for (const [what, value, text] of rows) test(what, () => assert.equal(shown(value), text));
});

test('a text is cut only when there is no room for it', () => {
  assert.deepEqual([cut('abc', 3), cut('abcd', 3)], ['abc', 'abc…']);
});
