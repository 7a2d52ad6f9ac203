import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressFromBytes, contains, parsePrefix } from '../../../src/base/address.ts';
import { mergeIntervals, printRange } from '../../../src/nftables/interval.ts';

const texts = (...prefixes: string[]) => mergeIntervals(prefixes).map(printRange);

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
        const ranges = mergeIntervals(prefixes);
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

describe('ranges of ports', () => {
  test('are sorted, made one where they overlap or touch, and printed as one port or with both ends', () => {
    assert.deepEqual(texts('5060-5061', '25', '80-81', '82', '1-1'), ['1', '25', '80-82', '5060-5061']);
    assert.deepEqual(texts('1000', '200', '30'), ['30', '200', '1000']);
  });

  test('are never printed as a prefix', () => {
    assert.deepEqual(texts('0-65535'), ['0-65535']);
    assert.deepEqual(texts('8-15'), ['8-15']);
  });

  test('can hold the last port', () => assert.deepEqual(texts('65534', '65535'), ['65534-65535']));
});
