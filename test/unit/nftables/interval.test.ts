import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressFromBytes, contains, parsePrefix } from '../../../src/base/address.ts';
import { mergePrefixes, printRange } from '../../../src/nftables/interval.ts';

const texts = (...prefixes: string[]) => mergePrefixes(prefixes).map(printRange);

describe('ranges of addresses', () => {
  test('are sorted, IPv4 first', () => {
    assert.deepEqual(texts('fd00::/64', '192.0.2.0/24', '10.0.0.0/8'), ['10.0.0.0/8', '192.0.2.0/24', 'fd00::/64']);
  });

  test('are made one where they overlap or touch', () => {
    assert.deepEqual(texts('10.0.1.0/24', '10.0.0.0/24'), ['10.0.0.0/23']);
    assert.deepEqual(texts('10.0.0.0/8', '10.1.2.0/24'), ['10.0.0.0/8']);
    assert.deepEqual(texts('10.0.0.0/24', '10.0.0.0/24'), ['10.0.0.0/24']);
    assert.deepEqual(texts('fd00::/65', 'fd00:0:0:0:8000::/65'), ['fd00::/64']);
  });

  test('stay apart where an address lies between them', () => {
    assert.deepEqual(texts('10.0.0.0/32', '10.0.0.2/32'), ['10.0.0.0', '10.0.0.2']);
  });

  test('are printed with both ends when they are no prefix', () => {
    assert.deepEqual(texts('10.0.0.0/16', '10.1.0.0/24'), ['10.0.0.0-10.1.0.255']);
    assert.deepEqual(texts('10.0.1.0/24', '10.0.2.0/24'), ['10.0.1.0-10.0.2.255']);
  });

  test('are printed as one address when they hold one', () => {
    assert.deepEqual(texts('10.0.0.7/32', 'fd00::7/128'), ['10.0.0.7', 'fd00::7']);
  });

  test('can hold all addresses, and the last one', () => {
    assert.deepEqual(texts('0.0.0.0/0', '::/0'), ['0.0.0.0/0', '::/0']);
    assert.deepEqual(texts('0.0.0.0/1', '128.0.0.0/1'), ['0.0.0.0/0']);
    assert.deepEqual(texts('255.255.255.255/32', 'ff00::/8'), ['255.255.255.255', 'ff00::/8']);
  });

  test('hold exactly the addresses of their prefixes, whatever these are', () => {
    const addresses = Array.from({ length: 64 }, (_, i) => addressFromBytes(Uint8Array.of(10, 0, 0, i)));
    const prefix = fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 26, max: 32 }));
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 8 }), (pairs) => {
        const prefixes = pairs.map(([last, length]) => parsePrefix(`10.0.0.${last}/${length}`) ?? '');
        const ranges = mergePrefixes(prefixes);
        for (const [i, address] of addresses.entries()) {
          const number = BigInt(0x0a000000 + i);
          const isInRanges = ranges.filter(({ first, last }) => first <= number && number <= last).length;
          assert.equal(isInRanges, Number(prefixes.some((each) => contains(each, address))), address);
        }
        assert.ok(ranges.every((range, i) => i === 0 || (ranges[i - 1]?.last ?? 0n) + 1n < range.first));
      }),
    );
  });
});
