import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { elementsOf, membersOf } from '../../../src/base/json-text.ts';
import { printed } from '../installer/texts.ts';

const json = fc.jsonValue({ maxDepth: 3 });

test('the elements of a list stand where JSON.parse finds them', () => {
  fc.assert(
    fc.property(
      fc.array(json).chain((list) => fc.tuple(fc.constant(list), printed(list))),
      ([list, text]) => {
        const found = [...elementsOf(text, 0)].map(({ start, end }) => JSON.parse(text.slice(start, end)) as unknown);
        assert.deepEqual(found, JSON.parse(JSON.stringify(list)));
      },
    ),
  );
});

test('the members of an object stand where JSON.parse finds them, repeated ones too', () => {
  const text = '{"a": [1, {"b": "}"}] , "a":{"c":2}}';
  const found = [...membersOf(text)].map(({ key, start, end }) => [key, text.slice(start, end)]);
  assert.deepEqual(found, [
    ['a', '[1, {"b": "}"}]'],
    ['a', '{"c":2}'],
  ]);
});
