import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  address,
  be16,
  be32,
  be32Signed,
  be64,
  cString,
  flag,
  hex,
  listOf,
  nested,
  u8,
  u16,
  u32,
} from '../../../src/kernel/netlink/field.ts';
import { decode, encode, type Table, walk } from '../../../src/kernel/netlink/wire.ts';

const inner = { number: [1, u8], text: [2, cString] } as const satisfies Table;
const table = {
  u8: [1, u8],
  u16: [2, u16],
  u32: [3, u32],
  be16: [4, be16],
  be32: [5, be32],
  signed: [6, be32Signed],
  be64: [7, be64],
  text: [8, cString],
  bytes: [9, hex],
  address: [10, address],
  flag: [11, flag],
  inner: [12, nested(inner)],
  list: [13, listOf(1, nested(inner))],
} as const satisfies Table;

const unsigned = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
const innerValues = fc.record({ number: unsigned(8), text }, { requiredKeys: [] });
const values = fc.record(
  {
    u8: unsigned(8),
    u16: unsigned(16),
    u32: unsigned(32),
    be16: unsigned(16),
    be32: unsigned(32),
    signed: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    be64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    text,
    bytes: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('hex')),
    address: fc.constantFrom('10.0.0.7', 'fd00::7', '::'),
    flag: fc.constant(true as const),
    inner: innerValues,
    list: fc.array(innerValues),
  },
  { requiredKeys: [] },
);

describe('attributes', () => {
  test('are read as they were written', () => {
    fc.assert(
      fc.property(values, (given) => assert.deepEqual(decode(table, encode(table, given)), structuredClone(given))),
    );
  });

  test('are read in the middle of a message as in bytes of their own', () => {
    const around = fc.uint8Array({ maxLength: 9 });
    fc.assert(
      fc.property(values, around, around, (given, before, after) => {
        const bytes = encode(table, given);
        const message = Buffer.concat([before, bytes, after]);
        assert.deepEqual(decode(table, message, before.length, before.length + bytes.length), decode(table, bytes));
      }),
    );
  });

  test('lie aligned, with the header of struct nlattr, nested ones with their flag', () => {
    const bytes = encode(table, { be16: 0x1234, inner: { number: 7 } });
    // length, type, payload, padding
    assert.equal(
      bytes.toString('hex'),
      '0600' + '0400' + '1234' + '0000' + '0c00' + '0c80' + '0500' + '0100' + '07' + '000000',
    );
  });

  test('are written in the order of the table, and absent ones not at all', () => {
    const types = [...walk(encode(table, { list: [], u8: 1, be64: undefined }))].map(({ type }) => type);
    assert.deepEqual(types, [1, 13]);
  });

  test('of a newer kernel are passed over', () => {
    assert.deepEqual(decode(inner, encode(table, { u8: 7, u32: 1, address: '10.0.0.7' })), { number: 7 });
  });

  test('that claim more than there is are refused', () => {
    assert.throws(
      () => decode(table, Buffer.from('0c000100', 'hex')),
      /Attribute 1 claims 12 bytes of 4 that are left/,
    );
    assert.throws(() => decode(table, Buffer.from('03000100', 'hex')), RangeError);
    assert.throws(() => decode(table, Buffer.from('0c000100ffffffffffffffff', 'hex'), 0, 8), RangeError);
  });

  test('that are shorter than what they should hold are refused, whatever is behind them', () => {
    assert.throws(() => decode(table, Buffer.from('06000300ffff0000', 'hex')), RangeError);
    assert.throws(() => decode(table, encode(table, { inner: {}, u8: 7 }).subarray(0, 4)), RangeError);
  });

  test('of more than 64 KiB are refused', () => {
    assert.throws(() => encode(table, { bytes: '00'.repeat(65_532) }), RangeError);
  });
});

test('a string ends with its first NUL, or with its attribute', () => {
  assert.equal(cString.decode(Buffer.from('eth0\0rest')), 'eth0');
  assert.equal(cString.decode(Buffer.from('eth0')), 'eth0');
});
