import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { be32, be64, cString, hex, listOf, nested, u8 } from '../../../src/kernel/netlink/field.ts';
import { encode, type Table, type Values } from '../../../src/kernel/netlink/wire.ts';
import { expressionAttributes } from '../../../src/kernel/nftables/attributes.ts';
import {
  counterIn,
  decodeExpression,
  decodeExpressions,
  encodeExpression,
} from '../../../src/kernel/nftables/expression.ts';
import { natAttributes } from '../../../src/kernel/nftables/expression-attributes.ts';
import type { Expression } from '../../../src/nftables/expression.ts';

const register = fc.constantFrom(1, 2, 3, 4, 9, 13, 23);
const number = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const bytes = fc.uint8Array({ minLength: 1, maxLength: 16 }).map((data) => Buffer.from(data).toString('hex'));
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
const metaKey = fc.constantFrom(
  'protocol' as const,
  'mark' as const,
  'iifname' as const,
  'oifname' as const,
  'nfproto' as const,
  'l4proto' as const,
);
const optional = { dreg: register, invert: fc.constant(true as const) };

const translation = {
  name: fc.constant('nat' as const),
  type: fc.constant('snat' as const),
  family: fc.constantFrom(4 as const, 6 as const),
  addressRegister: register,
};

/** Any expression of each name: a new one that is missing here does not compile. */
const arbitraries: { readonly [N in Expression['name']]: fc.Arbitrary<Extract<Expression, { name: N }>> } = {
  meta: fc.oneof(
    fc.record({ name: fc.constant('meta' as const), key: metaKey, dreg: register }),
    fc.record({ name: fc.constant('meta' as const), key: metaKey, sreg: register }),
  ),
  payload: fc.record({
    name: fc.constant('payload' as const),
    base: fc.constantFrom('network' as const, 'transport' as const),
    offset: number,
    length: number,
    dreg: register,
  }),
  exthdr: fc.oneof(
    fc.record({
      name: fc.constant('exthdr' as const),
      header: fc.nat(255),
      offset: number,
      length: number,
      dreg: register,
    }),
    fc.record({
      name: fc.constant('exthdr' as const),
      option: fc.nat(255),
      offset: number,
      length: number,
      sreg: register,
    }),
  ),
  ct: fc.oneof(
    fc.record({ name: fc.constant('ct' as const), key: fc.constant('direction' as const), dreg: register }),
    fc.record({
      name: fc.constant('ct' as const),
      key: fc.constantFrom('dst_ip' as const, 'dst_ip6' as const),
      direction: fc.constant('reply' as const),
      dreg: register,
    }),
  ),
  rt: fc.record({ name: fc.constant('rt' as const), key: fc.constant('tcpmss' as const), dreg: register }),
  fib: fc.record({
    name: fc.constant('fib' as const),
    field: fc.constantFrom('saddr' as const, 'daddr' as const),
    result: fc.constant('type' as const),
    dreg: register,
  }),
  bitwise: fc.record({
    name: fc.constant('bitwise' as const),
    sreg: register,
    dreg: register,
    length: number,
    mask: bytes,
    xor: bytes,
  }),
  byteorder: fc.record({
    name: fc.constant('byteorder' as const),
    op: fc.constant('hton' as const),
    sreg: register,
    dreg: register,
    length: number,
    size: number,
  }),
  cmp: fc.record({
    name: fc.constant('cmp' as const),
    op: fc.constantFrom('eq' as const, 'neq' as const),
    sreg: register,
    data: bytes,
  }),
  lookup: fc.record(
    { name: fc.constant('lookup' as const), set: name, sreg: register, ...optional },
    { requiredKeys: ['name', 'set', 'sreg'] },
  ),
  immediate: fc.oneof(
    fc.record({
      name: fc.constant('immediate' as const),
      verdict: fc.oneof(
        fc.record({ code: fc.constantFrom('accept' as const, 'drop' as const, 'return' as const) }),
        fc.record({ code: fc.constantFrom('jump' as const, 'goto' as const), chain: name }),
      ),
    }),
    fc.record({ name: fc.constant('immediate' as const), dreg: register, data: bytes }),
  ),
  nat: fc.oneof(
    fc.record(translation),
    fc.record({ ...translation, portRegister: register, lastPortRegister: register }),
  ),
  masq: fc.constant({ name: 'masq' as const }),
  notrack: fc.constant({ name: 'notrack' as const }),
  counter: fc.constant({ name: 'counter' as const }),
};

describe('an expression is read as it was written', () => {
  for (const [each, arbitrary] of Object.entries(arbitraries)) {
    test(each, () => {
      fc.assert(
        fc.property(arbitrary as fc.Arbitrary<Expression>, (expression) => {
          assert.deepEqual(decodeExpression(encodeExpression(expression, () => 1)), structuredClone(expression));
        }),
      );
    });
  }
});

const numbers = {
  1: [1, be32],
  2: [2, be32],
  3: [3, be32],
  4: [4, be32],
  5: [5, be32],
  6: [6, be32],
  7: [7, be32],
  8: [8, be32],
} as const satisfies Table;
const tcpOption = { ...numbers, 2: [2, u8] } as const satisfies Table;
const lookup = { ...numbers, 1: [1, cString] } as const satisfies Table;
const snat = { type: 'snat', family: 4, addressRegister: 1 } as const;

/** What nft would print, and the attributes of the expression in the middle of it. */
const foreign: Record<string, Values<typeof expressionAttributes>> = {
  'limit rate 1/second': { name: 'limit', data: Buffer.alloc(4) },
  'a name that every object has': { name: 'constructor', data: Buffer.alloc(0) },
  nothing: {},
  'meta priority': { name: 'meta', data: encode(numbers, { 2: 2, 1: 1 }) },
  'ct mark': { name: 'ct', data: encode(numbers, { 2: 3, 1: 1 }) },
  'rt nexthop': { name: 'rt', data: encode(numbers, { 2: 1, 1: 1 }) },
  'a number turned to the order of the host': {
    name: 'byteorder',
    data: encode(numbers, { 1: 1, 2: 1, 3: 0, 4: 2, 5: 2 }),
  },
  'reset tcp option sack-perm': { name: 'exthdr', data: encode(tcpOption, { 2: 4, 3: 0, 4: 0, 5: 0, 6: 1 }) },
  'exists of a tcp option': { name: 'exthdr', data: encode(tcpOption, { 1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1 }) },
  'masquerade random': { name: 'masq', data: encode(numbers, { 1: 4 }) },
  'masquerade to :1-9': { name: 'masq', data: encode(numbers, { 2: 1, 3: 2 }) },
  'meta mark < 7': { name: 'cmp', data: encode(numbers, { 1: 1, 2: 2 }) },
  'meta mark << 7': { name: 'bitwise', data: encode(numbers, { 1: 1, 2: 1, 3: 4 }) },
  'fib daddr . mark type': { name: 'fib', data: encode(numbers, { 3: 6, 2: 3, 1: 1 }) },
  'fib daddr . iif oif': { name: 'fib', data: encode(numbers, { 3: 10, 2: 1, 1: 1 }) },
  'ip ttl set 7': { name: 'payload', data: encode(numbers, { 2: 1, 3: 8, 5: 1 }) },
  'a lookup with a flag of the future': { name: 'lookup', data: encode(lookup, { 1: 's', 2: 1, 5: 2 }) },
  'meta mark set 7': { name: 'immediate', data: encode(numbers, { 1: 1 }) },
  'snat to :1-9': {
    name: 'nat',
    data: encode(natAttributes, { ...snat, addressRegister: undefined, portRegister: 2, lastPortRegister: 3 }),
  },
  'snat to 10.0.0.1:1': { name: 'nat', data: encode(natAttributes, { ...snat, portRegister: 2 }) },
  'snat random': { name: 'nat', data: encode(natAttributes, { ...snat, flags: 4 }) },
  'snat to 10.0.0.1-10.0.0.9': { name: 'nat', data: encode(natAttributes, { ...snat, lastAddressRegister: 2 }) },
  dnat: { name: 'nat', data: encode(numbers, { 1: 1, 2: 2, 3: 1 }) },
};

describe('an expression that is not ours is told from all that are', () => {
  for (const [what, attributes] of Object.entries(foreign)) {
    test(what, () => {
      const { name: kernelName = '', data = Buffer.alloc(0) } = attributes;
      assert.deepEqual(decodeExpression(attributes), {
        name: 'unknown',
        expression: kernelName,
        data: hex.decode(data),
      });
    });
  }
});

test('what the kernel adds to an expression of ours does not make it another', () => {
  const listed = encode(natAttributes, { ...snat, lastAddressRegister: 1, flags: 1 });
  assert.deepEqual(decodeExpression({ name: 'nat', data: listed }), { name: 'nat', ...snat });
});

test('the expressions of a rule are those that each is by itself, seen before or not', () => {
  const list = listOf(1, nested(expressionAttributes));
  const equalToAlone = (expressions: Values<typeof expressionAttributes>[]) =>
    assert.deepEqual(decodeExpressions(list.encode(expressions)).expressions, expressions.map(decodeExpression));
  const known = fc.constantFrom('meta mark', 'ct mark').map((text): Values<typeof expressionAttributes> => {
    return text === 'ct mark'
      ? { name: 'ct', data: encode(numbers, { 2: 3, 1: 1 }) }
      : encodeExpression({ name: 'meta', key: 'mark', dreg: 1 }, () => 1);
  });
  const foreignName = name.filter((one) => !Object.hasOwn(arbitraries, one)); // of ours the data would be none that a kernel lists
  const others = fc.record({ name: foreignName, data: bytes.map((data) => Buffer.from(data, 'hex')) });
  const counters = number.map((packets) => counted(packets));
  fc.assert(fc.property(fc.array(fc.oneof(known, others, counters)), equalToAlone));
});

test('a rule whose counter goes on has counted more, and is the same rule', () => {
  const rule = (packets: number) =>
    listOf(1, nested(expressionAttributes)).encode([
      encodeExpression({ name: 'meta', key: 'mark', dreg: 1 }, () => 1),
      counted(packets),
      counted(packets + 1),
    ]);
  const [before, after] = [decodeExpressions(rule(7)), decodeExpressions(rule(9))];
  assert.deepEqual(before.expressions, after.expressions);
  assert.deepEqual([before.counter?.packets, after.counter?.packets], [7n, 9n]);
  assert.ok(!('counter' in decodeExpressions(Buffer.alloc(0))));
});

/** A counter as the kernel lists it. */
const counted = (packets: number): Values<typeof expressionAttributes> => ({
  name: 'counter',
  data: encode({ bytes: [1, be64], packets: [2, be64] } as const satisfies Table, {
    bytes: 0n,
    packets: BigInt(packets),
  }),
});

test('a rule has counted what its first counter has counted', () => {
  const counted = Buffer.from(`0c000100${'00000000000002bc'}0c000200${'0000000000000007'}`, 'hex');
  const expressions = [
    { name: 'meta' },
    { name: 'counter', data: counted },
    { name: 'counter', data: Buffer.alloc(0) },
  ];
  assert.deepEqual(counterIn(expressions), { packets: 7n, bytes: 700n });
  assert.equal(counterIn([{ name: 'meta' }]), undefined);
});
