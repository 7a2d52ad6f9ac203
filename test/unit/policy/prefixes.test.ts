import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { contains } from '../../../src/base/address.ts';
import { withoutNested } from '../../../src/policy/prefixes.ts';
import { anyPrefix } from './arbitraries.ts';

describe('withoutNested', () => {
  test('sorts by family and address, and drops what lies inside another or is there twice', () => {
    assert.deepEqual(
      withoutNested([
        'fd00::/8',
        '10.2.0.0/16',
        '9.0.0.0/8',
        '10.0.0.0/8',
        '192.168.0.0/24',
        'fd00:1::/32',
        '9.0.0.0/8',
        '100.64.0.0/10',
      ]),
      ['9.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '192.168.0.0/24', 'fd00::/8'],
    );
  });

  test('leaves the whole of one family', () => {
    assert.deepEqual(withoutNested(['::/0', '1.2.3.4/32', 'fd00::/8']), ['1.2.3.4/32', '::/0']);
  });

  test('holds the same addresses, none of them twice, in an order that does not depend on the input', () => {
    fc.assert(
      fc.property(fc.array(anyPrefix, { maxLength: 12 }), (prefixes) => {
        const kept = withoutNested(prefixes);
        for (const prefix of prefixes) assert.equal(kept.filter((outer) => contains(outer, prefix)).length, 1, prefix);
        assert.ok(kept.every((prefix) => prefixes.includes(prefix)));
        assert.deepEqual(withoutNested(prefixes.toReversed()), kept);
      }),
    );
  });
});
