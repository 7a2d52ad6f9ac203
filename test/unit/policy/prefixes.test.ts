import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { contains, parsePrefix } from '../../../src/base/address.ts';
import { cover, coverAll, firstWithout, without, withoutNested } from '../../../src/policy/prefixes.ts';
import { anyAddress, anyPrefix } from './arbitraries.ts';

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

describe('ranges cover a prefix', () => {
  const rows: [ranges: string[], prefix: string, covered: boolean][] = [
    [[], '10.0.0.0/8', false],
    [['10.0.0.0/8'], '10.0.0.0/8', true],
    [['0.0.0.0/0'], '10.1.2.3/32', true],
    [['0.0.0.0/0'], '::/0', false],
    [['::/0'], '0.0.0.0/0', false],
    [['10.0.0.0/9', '10.128.0.0/9'], '10.0.0.0/8', true],
    [['10.0.0.0/9', '10.128.0.0/10', '10.192.0.0/11'], '10.0.0.0/8', false],
    [['fd00::/65', 'fd00:0:0:0:8000::/65'], 'fd00::/64', true],
    [['fd00::/65', 'fd00:0:0:0:8000::/66'], 'fd00::/64', false],
    [['203.0.113.4/31', '203.0.113.6/32', '203.0.113.7/32'], '203.0.113.4/30', true],
  ];
  for (const [ranges, prefix, covered] of rows) {
    test(`${ranges.join(', ') || 'none'} ${covered ? 'does' : 'does not'} cover ${prefix}`, () => {
      assert.equal(cover(ranges.map(canonical), canonical(prefix)), covered);
    });
  }
});

describe('prefixes without ranges', () => {
  test('are what is left, in order', () => {
    assert.deepEqual(without(['::/0', '10.0.0.0/8'], ['10.64.0.0/10', '10.0.0.0/32', '8000::/1']).slice(-3), [
      '10.32.0.0/11',
      '10.128.0.0/9',
      '::/1',
    ]);
    assert.deepEqual(without(['192.0.2.0/30'], ['192.0.2.1/32', '10.0.0.0/8']), ['192.0.2.0/32', '192.0.2.2/31']);
  });

  test('hold each address that the prefixes hold and no range does', () => {
    const some = fc.array(anyPrefix, { maxLength: 6 });
    fc.assert(
      fc.property(some.map(withoutNested), some, anyAddress, (prefixes, ranges, address) => {
        const isIn = (all: readonly string[]) => all.some((prefix) => contains(prefix, address));
        const left = without(prefixes, ranges);
        assert.equal(isIn(left), isIn(prefixes) && !isIn(ranges));
        assert.deepEqual([firstWithout(prefixes, ranges), coverAll(ranges, prefixes)], [left[0], left.length === 0]);
      }),
    );
  });
});

const canonical = (prefix: string) => parsePrefix(prefix) ?? assert.fail(prefix);
