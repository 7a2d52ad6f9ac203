import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { asListed } from '../../../cmd/as-listed.ts';
import { raw } from '../../../src/kernel/netlink/field.ts';
import { decode } from '../../../src/kernel/netlink/wire.ts';
import { expressionAttributes, ruleAttributes } from '../../../src/kernel/nftables/attributes.ts';
import { decodeExpression, encodeExpression } from '../../../src/kernel/nftables/expression.ts';
import { message } from '../../../src/kernel/nftables/message.ts';
import type { Expression } from '../../../src/nftables/expression.ts';

/** Elements of NFTA_RULE_EXPRESSIONS as Linux 6.18 listed them. */
const listed: Readonly<Record<string, string>> = {
  'ct original ip daddr': '07000100637400001c000200080001000000000108000200000000140500030000000000',
  'ct id': '07000100637400001400020008000100000000010800020000000017',
  'ct label set': '0700010063740000140002000800040000000001080002000000000d',
  'a map':
    '0b0001006c6f6f6b757000002c0002000d00010072657475726e733400000000080002000000000108000300000000000800050000000000',
  'a set': '0b0001006c6f6f6b75700000240002000e000100616e7377657265643400000008000200000000010800050000000000',
  'not in a set': '0b0001006c6f6f6b75700000200002000c000100696e73696465340008000200000000010800050000000001',
  bitwise:
    '0c00010062697477697365003c00020008000100000000010800020000000001080003000000000408000600000000000c00040008000100ff3f00400c0005000800010000000000',
  'fib saddr . iif oif': '08000100666962001c000200080001000000000108000200000000010800030000000029',
  'snat to an address':
    '080001006e6174002c00020008000100000000000800020000000002080003000000000108000400000000010800070000000001',
  goto: '0e000100696d6d6564696174650000002c0002000800010000000000200002001c00020008000100fffffffc0f000200657869742d31343435340000',
  'a value': '0e000100696d6d65646961746500000024000200080001000000000118000200140001000000000000000000000000001c2c3416',
  cmp: '08000100636d70002c00020008000100000000010800020000000000180003001400010000000000000000001c49315200000000',
  frag: '0b0001006578746864720000340002000800010000000001050002002c0000000800030000000002080004000000000208000500000000000800060000000000',
  'meta nfproto': '090001006d6574610000000014000200080002000000000f0800010000000001',
};

describe('an instruction that the build has made is listed as the kernel lists it', () => {
  for (const [what, bytes] of Object.entries(listed))
    test(what, () => {
      const expression = decodeExpression(decode(expressionAttributes, Buffer.from(bytes, 'hex')));
      assert.notEqual(expression.name, 'unknown');
      const made = encodeExpression(expression as Expression, () => 1);
      const { body } = message('newRule', 0, ruleAttributes, { table: 'ours', chain: 'chain', expressions: [made] });
      const { expressions } = decode({ expressions: [4, raw] }, asListed(body), 4);
      assert.equal(expressions?.subarray(4).toString('hex'), bytes);
    });
});

test('a rule keeps its table, its chain and its comment', () => {
  const given = { table: 'ours', chain: 'chain', expressions: [], userdata: Buffer.from('00026100', 'hex') };
  const { body } = message('newRule', 0, ruleAttributes, given);
  assert.deepEqual(decode(ruleAttributes, asListed(body), 4), given);
});
