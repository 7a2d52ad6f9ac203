import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Address4, Address6 } from 'ip-address';
import {
  addressBytes,
  addressFromBytes,
  contains,
  type Family,
  familyOf,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../../src/base/address.ts';

/** An address as one number: what masks are easiest to think of. */
interface Numbered {
  readonly family: Family;
  readonly value: bigint;
}

const widthOf = (family: Family) => (family === 4 ? 32 : 128);

/** IPv6 written out in full, which no canonical text is unless it must. */
function written({ family, value }: Numbered): string {
  const hex = value.toString(16).padStart(widthOf(family) / 4, '0');
  if (family === 6) return hex.toUpperCase().replace(/(....)(?=.)/g, '$1:');
  return (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).join('.');
}

/** What the URL standard makes of the address: an implementation of RFC 5952 that is not ours. */
function canonical(address: Numbered): string {
  return address.family === 4 ? written(address) : new URL(`http://[${written(address)}]`).hostname.slice(1, -1);
}

function masked({ family, value }: Numbered, length: number): Numbered {
  const hostBits = BigInt(widthOf(family) - length);
  return { family, value: (value >> hostBits) << hostBits };
}

function parsedSlowly(text: string): string | undefined {
  try {
    if (!text.includes(':')) return new Address4(text).correctForm();
    const address = new Address6(text);
    return isMapped({ family: 6, value: address.bigInt() }) ? address.to4().correctForm() : address.correctForm();
  } catch {
    return undefined;
  }
}

const family = fc.constantFrom<Family>(4, 6);

/** Many zero and one bits, so that runs of zeros and shared beginnings occur. */
const addressOf = (family: Family): fc.Arbitrary<Numbered> =>
  fc
    .array(fc.oneof(fc.constant(0), fc.constant(0xff), fc.nat(255)), {
      minLength: widthOf(family) / 8,
      maxLength: widthOf(family) / 8,
    })
    .map((bytes) => ({ family, value: bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) }))
    .filter((address) => !isMapped(address));

/** Those have tests of their own. */
const isMapped = ({ family, value }: Numbered): boolean => family === 6 && value >> 32n === 0xffffn;

const prefixOf = (family: Family) => fc.record({ address: addressOf(family), length: fc.nat(widthOf(family)) });

describe('parseAddress', () => {
  test('gives the canonical text of every address', () => {
    fc.assert(
      fc.property(family.chain(addressOf), (address) => {
        assert.equal(parseAddress(written(address)), canonical(address));
      }),
    );
  });

  test('reads whatever looks like an address as the package does that takes its time', () => {
    const part = fc.oneof(
      fc.constantFrom('', '', '0', '00', '01', '256', '255', 'f', 'FFFF', '0000', '12345', 'g', ' ', '+1', '1.2.3.4'),
      fc.nat(300).map(String),
    );
    const texts = fc.oneof(
      fc.array(part, { maxLength: 10 }).map((parts) => parts.join(':')),
      fc.array(part, { minLength: 3, maxLength: 5 }).map((parts) => parts.join('.')),
      fc
        .tuple(fc.array(part, { maxLength: 5 }), fc.array(part, { maxLength: 5 }))
        .map((halves) => halves.map((half) => half.join(':')).join('::')),
    );
    fc.assert(
      fc.property(texts, (text) => assert.equal(parseAddress(text), parsedSlowly(text), text)),
      { numRuns: 3000 },
    );
  });

  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.256',
    ' 1.2.3.4',
    '1.2.3.4/32',
    'fe80::1%eth0',
    '::1::',
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseAddress(text), undefined));
  }
});

describe('IPv4-mapped IPv6', () => {
  const addresses = ['::ffff:203.0.113.7', '::FFFF:cb00:7107', '0:0:0:0:0:ffff:203.0.113.7'];
  for (const text of addresses) {
    test(`${text} is the IPv4 address`, () => assert.equal(parseAddress(text), '203.0.113.7'));
  }

  const ranges: readonly (readonly [text: string, prefix: string])[] = [
    ['::ffff:203.0.113.0/120', '203.0.113.0/24'],
    ['::ffff:203.0.113.7/120', '203.0.113.0/24'],
    ['::ffff:cb00:7107', '203.0.113.7/32'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    // Wider ones hold more than that; embedded addresses of other kinds are real ones (RFC 6052, RFC 3056).
    ['::ffff:0:0/95', '::fffe:0:0/95'],
    ['64:ff9b::203.0.113.0/120', '64:ff9b::cb00:7100/120'],
    ['2002:cb00:7100::/40', '2002:cb00:7100::/40'],
    ['::203.0.113.0/120', '::cb00:7100/120'],
  ];
  for (const [text, prefix] of ranges) test(`${text} is ${prefix}`, () => assert.equal(parsePrefix(text), prefix));
});

describe('parsePrefix', () => {
  test('cuts off the bits behind the length', () => {
    fc.assert(
      fc.property(family.chain(prefixOf), ({ address, length }) => {
        const expected = `${canonical(masked(address, length))}/${length}`;
        assert.equal(parsePrefix(`${written(address)}/${length}`), expected);
        assert.equal(parsePrefix(expected), expected);
      }),
    );
  });

  test('takes an address alone as the prefix of its full length', () => {
    assert.deepEqual([parsePrefix('10.1.2.3'), parsePrefix('FD00::1')], ['10.1.2.3/32', 'fd00::1/128']);
  });

  for (const text of [
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '/8',
    '10/8',
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.equal(parsePrefix(text), undefined));
  }
});

test('a canonical prefix tells its family, address and length', () => {
  fc.assert(
    fc.property(family.chain(prefixOf), ({ address, length }) => {
      const prefix = parsePrefix(`${written(address)}/${length}`) ?? '';
      assert.deepEqual(
        [familyOf(prefix), prefixAddress(prefix), prefixLength(prefix)],
        [address.family, canonical(masked(address, length)), length],
      );
    }),
  );
});

test('an address and its bytes are the same', () => {
  fc.assert(
    fc.property(family.chain(addressOf), (address) => {
      const bytes = addressBytes(canonical(address));
      assert.equal(BigInt(`0x${Buffer.from(bytes).toString('hex')}`), address.value);
      assert.equal(bytes.length * 8, widthOf(address.family));
      assert.equal(addressFromBytes(bytes), canonical(address));
    }),
  );
});

describe('contains', () => {
  /** The inner one is made from the outer one by changing low bits, else hardly any pair would nest. */
  const pairs = family.chain((family) =>
    fc
      .tuple(prefixOf(family), fc.nat(widthOf(family)), addressOf(family), fc.nat(widthOf(family)))
      .map(([outer, keep, other, length]) => {
        const low = other.value & ((1n << BigInt(widthOf(family) - keep)) - 1n);
        return { outer, inner: { address: { family, value: masked(outer.address, keep).value | low }, length } };
      }),
  );

  test('holds exactly the prefixes and addresses whose first bits are its own', () => {
    fc.assert(
      fc.property(pairs, ({ outer, inner }) => {
        const prefix = parsePrefix(`${written(outer.address)}/${outer.length}`) ?? '';
        const shares = masked(inner.address, outer.length).value === masked(outer.address, outer.length).value;
        assert.equal(contains(prefix, canonical(inner.address)), shares);
        const innerPrefix = parsePrefix(`${written(inner.address)}/${inner.length}`) ?? '';
        assert.equal(contains(prefix, innerPrefix), inner.length >= outer.length && shares);
      }),
    );
  });

  test('never across families', () => {
    assert.equal(contains('::/0', '10.0.0.1'), false);
    assert.equal(contains('0.0.0.0/0', '::/0'), false);
  });
});
