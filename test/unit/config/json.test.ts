import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseJson, repeatedKeys } from '../../../src/config/json.ts';

test('a byte order mark is no part of a JSON document', () => {
  assert.deepEqual(parseJson('\uFEFF{"a":1}'), { a: 1 });
});

describe('a key that is there twice', () => {
  const cases: [json: string, pointers: string[]][] = [
    ['{"a":1,"b":{"a":1}}', []],
    ['{"a":1,"a":2,"a":3}', ['/a', '/a']],
    ['{"a":[{},{"b":1 , "c":{} , "b" : 2}]}', ['/a/1/b']],
    ['[[],[{"x":"\\",\\"x\\":{","x":1}]]', ['/1/0/x']],
    ['{"a":"b","c":"a"}', []],
    ['{"\\u0061":1,"a":2}', ['/a']],
    ['{"a/b~c":1,"a/b~c":2}', ['/a~1b~0c']],
  ];
  for (const [json, pointers] of cases) {
    test(`is found in ${json}: ${pointers.join(', ') || 'none'}`, () => assert.deepEqual(repeatedKeys(json), pointers));
  }

  test('is never found in what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => assert.deepEqual(repeatedKeys(JSON.stringify(value, undefined, 1)), [])),
    );
  });
});
