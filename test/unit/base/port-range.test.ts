import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { families } from '../../../src/base/address.ts';
import {
  holdPorts,
  holdsPorts,
  mergePortRanges,
  parsePortRange,
  portRangeParts,
  protocolNumber,
  protocolOf,
  protocols,
  splitPortRange,
} from '../../../src/base/port-range.ts';

/** Ranges of few ports, so that they meet often, and whole protocols. */
const anyRange = fc
  .tuple(fc.constantFrom(...protocols), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 4 }), fc.boolean())
  .map(([protocol, first, more, whole]) => {
    const ports = whole || protocol === 'icmp' ? '' : more === 0 ? `:${first}` : `:${first}-${first + more}`;
    return `${protocol}${ports}`;
  });
const anyRanges = fc.array(anyRange, { maxLength: 6 });

/** Every protocol as a whole, and each of its ports that {@link anyRange} can hold or that is just beside. */
const everything = protocols.flatMap((protocol) => [
  protocol,
  ...Array.from({ length: protocol === 'icmp' ? 0 : 18 }, (_, i) => `${protocol}:${i + 1}`),
]);

describe('a range of ports', () => {
  const rows: readonly (readonly [text: string, canonical: string | undefined])[] = [
    ['tcp', 'tcp'],
    ['icmp', 'icmp'],
    ['sctp:1', 'sctp:1'],
    ['udp:0060', 'udp:60'],
    ['tcp:80-80', 'tcp:80'],
    ['udp:5060-5061', 'udp:5060-5061'],
    ['tcp:1-65535', 'tcp:1-65535'],
    ['tcp:0', undefined],
    ['tcp:0-5', undefined],
    ['tcp:65536', undefined],
    ['tcp:1-65536', undefined],
    ['tcp:123456', undefined],
    ['tcp:81-80', undefined],
    ['tcp:', undefined],
    ['tcp:-80', undefined],
    ['tcp:80-', undefined],
    ['tcp:80-81-82', undefined],
    ['tcp 80', undefined],
    [' tcp', undefined],
    ['TCP', undefined],
    ['icmp:8', undefined],
    ['gre', undefined],
    ['80', undefined],
    ['', undefined],
  ];
  for (const [text, canonical] of rows) {
    test(`"${text}" is ${canonical ?? 'none'}`, () => assert.equal(parsePortRange(text), canonical));
  }

  test('that is canonical is read as itself', () => {
    fc.assert(fc.property(anyRange, (range) => assert.equal(parsePortRange(range), range)));
  });

  test('has parts: a protocol, and its ports unless it is the whole protocol', () => {
    assert.deepEqual(portRangeParts('udp:5060-5061'), { protocol: 'udp', ports: { first: 5060, last: 5061 } });
    assert.deepEqual(portRangeParts('tcp:25'), { protocol: 'tcp', ports: { first: 25, last: 25 } });
    assert.deepEqual(portRangeParts('icmp'), { protocol: 'icmp' });
  });

  test('holds what lies inside it, of its protocol', () => {
    assert.ok(holdsPorts('tcp', 'tcp') && holdsPorts('tcp', 'tcp:25') && holdsPorts('tcp', 'tcp:1-65535'));
    assert.ok(holdsPorts('tcp:5-7', 'tcp:5') && holdsPorts('tcp:5-7', 'tcp:7') && holdsPorts('tcp:5-7', 'tcp:5-7'));
    for (const other of ['tcp:4', 'tcp:8', 'tcp:4-5', 'tcp:7-8', 'udp:6', 'tcp', 'icmp']) {
      assert.ok(!holdsPorts('tcp:5-7', other), other);
    }
  });

  test('of all ports does not hold the whole protocol, of which some packets show no port', () => {
    assert.ok(!holdsPorts('tcp:1-65535', 'tcp'));
  });
});

describe('merged ranges of ports', () => {
  const holdTheSame = (some: readonly string[], others: readonly string[]) => {
    for (const each of everything) assert.equal(holdPorts(some, each), holdPorts(others, each), each);
  };

  test('are sorted, and made one where they overlap or adjoin', () => {
    assert.deepEqual(mergePortRanges(['udp:9', 'tcp:80', 'udp:7-8', 'tcp:25-80', 'icmp', 'udp:11']), [
      'icmp',
      'tcp:25-80',
      'udp:7-9',
      'udp:11',
    ]);
    assert.deepEqual(mergePortRanges(['tcp:1-10', 'tcp:3', 'tcp:4-5']), ['tcp:1-10']);
    assert.deepEqual(mergePortRanges(['sctp:100', 'sctp:20', 'sctp:3']), ['sctp:3', 'sctp:20', 'sctp:100']);
  });

  test('are the whole protocol when that is among them', () => {
    assert.deepEqual(mergePortRanges(['tcp:80', 'tcp', 'udp:1', 'tcp:25']), ['tcp', 'udp:1']);
  });

  test('hold the same ports as before', () => {
    fc.assert(fc.property(anyRanges, (ranges) => holdTheSame(mergePortRanges(ranges), ranges)));
  });

  test('are canonical: nothing overlaps or adjoins, and merging them again, or in another order, changes nothing', () => {
    fc.assert(
      fc.property(anyRanges, (ranges) => {
        const merged = mergePortRanges(ranges);
        assert.deepEqual(mergePortRanges(merged), merged);
        assert.deepEqual(mergePortRanges(ranges.toReversed()), merged);
        for (const [i, range] of merged.entries()) {
          assert.equal(parsePortRange(range), range);
          for (const later of merged.slice(i + 1)) assert.equal(mergePortRanges([range, later]).length, 2);
        }
      }),
    );
  });
});

describe('the parts of a range beside others', () => {
  test('end and begin where the others do', () => {
    assert.deepEqual(splitPortRange('tcp:10-20', ['tcp:1-12', 'tcp:15', 'udp:17', 'tcp:20-30', 'tcp']), [
      'tcp:10-12',
      'tcp:13-14',
      'tcp:15',
      'tcp:16-19',
      'tcp:20',
    ]);
    assert.deepEqual(splitPortRange('tcp', ['tcp:1-12']), ['tcp']);
  });

  test('are the range again when merged, and each lies inside or outside of every other', () => {
    fc.assert(
      fc.property(anyRange, anyRanges, (range, others) => {
        const parts = splitPortRange(range, others);
        assert.deepEqual(mergePortRanges(parts), [range]);
        for (const part of parts) {
          const inside = everything.filter((each) => holdsPorts(part, each));
          for (const other of others) {
            const held = inside.filter((each) => holdsPorts(other, each));
            assert.ok(holdsPorts(other, part) || held.length === 0 || part === range, `${part} and ${other}`);
          }
        }
      }),
    );
  });
});

test('a protocol has a number of its own in each family, and ICMP another one in IPv6', () => {
  assert.deepEqual(
    families.map((family) => protocols.map((protocol) => protocolNumber(protocol, family))),
    [
      [1, 6, 17, 132],
      [58, 6, 17, 132],
    ],
  );
  assert.deepEqual(
    [1, 58, 6, 47].map((number) => families.map((family) => protocolOf(number, family))),
    [
      ['icmp', undefined],
      [undefined, 'icmp'],
      ['tcp', 'tcp'],
      [undefined, undefined],
    ],
  );
});
