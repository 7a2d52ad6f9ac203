import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodeRule } from '../../../src/datapath/objects.ts';
import { markConflict } from '../../../src/node/mark-conflict.ts';

const flag = 0x100000;

const rule = (value: number, mask: number): NodeRule => ({
  kind: 'rule',
  protocol: 0,
  family: 4,
  priority: 30,
  action: { lookup: 7 },
  fwmark: { value, mask },
});

describe('a policy rule of somebody else', () => {
  /** Value and mask of the rule, our bit → whether it is in use. */
  const rows: readonly (readonly [number, number, number, boolean])[] = [
    [0x100000, 0x100000, flag, true],
    [0, 0x100000, flag, true],
    [0x200000, 0xf00000, flag, true],
    [0x4000, 0x4000, flag, false],
    [0x80000000, 0x80000000, 0x80000000, true],
    [1, 0xffffffff, flag, false],
    [0x100001, 0xffffffff, flag, true],
    [0x80000001, 0xffffffff, 0x80000000, true],
  ];
  for (const [value, mask, flag, isInUse] of rows) {
    const hex = [value, mask, flag].map((number) => `0x${number.toString(16)}`);
    test(`with mark ${hex[0]}/${hex[1]} ${isInUse ? 'takes' : 'leaves'} the bit ${hex[2]}`, () => {
      assert.equal(markConflict(flag, [rule(value, mask)]) !== undefined, isInUse);
    });
  }

  test('is named in a sentence', () => {
    assert.equal(
      markConflict(flag, [rule(1, 1), rule(flag, 0x300000)]),
      'The policy rule at priority 30 looks at mark 0x100000/0x300000, which holds our bit 0x100000',
    );
  });

  test('without a mark is no matter', () => {
    assert.equal(
      markConflict(flag, [{ kind: 'rule', protocol: 2, family: 6, priority: 0, action: { lookup: 255 } }]),
      undefined,
    );
    assert.equal(markConflict(flag, []), undefined);
  });
});
