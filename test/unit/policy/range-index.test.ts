import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contains } from '../../../src/base/address.ts';
import { firstHolding, holdsAny } from '../../../src/policy/range-index.ts';
import { anyAddress, anyPrefix } from './arbitraries.ts';

test('an address is in one of many ranges when one of them holds it, and the first that does is told', () => {
  fc.assert(
    fc.property(fc.array(anyPrefix), fc.array(anyAddress, { minLength: 1 }), (prefixes, addresses) => {
      for (const address of addresses) {
        const first = prefixes.find((prefix) => contains(prefix, address));
        assert.equal(holdsAny(prefixes, address), first !== undefined);
        assert.equal(firstHolding(prefixes, address), first);
      }
    }),
  );
});
