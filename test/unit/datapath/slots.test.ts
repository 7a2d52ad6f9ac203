import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Address, addressFromBytes, familyOf } from '../../../src/base/address.ts';
import { addressOf, slotCount, slotsOf } from '../../../src/datapath/slots.ts';

/** Neighbours in one network, as most exits have them, or any. */
const neighbours = fc
  .tuple(fc.constantFrom('192.0.2.', '172.18.0.', '2001:db8::'), fc.integer({ min: 16, max: 99 }))
  .map(([network, first]) => Array.from({ length: 17 }, (_, i) => `${network}${first + i}`));
const strangers = fc.uniqueArray(fc.ipV4(), { minLength: 17, maxLength: 17 });

/** So many that one can be taken away. */
const manyAddresses = fc
  .tuple(fc.oneof(neighbours, strangers), fc.integer({ min: 2, max: 16 }))
  .map(([addresses, count]) => addresses.slice(0, count));

const countsOf = (addresses: readonly Address[]) => {
  const slots = slotsOf(addresses);
  return addresses.map((address) => slots.filter((one) => one === address).length);
};

describe('slots', () => {
  test('are shared out among all addresses, so that none has more than one more than another', () => {
    fc.assert(
      fc.property(manyAddresses, (addresses) => {
        const counts = countsOf(addresses);
        assert.equal(
          counts.reduce((sum, count) => sum + count, 0),
          slotCount,
        );
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
      }),
    );
  });

  test('do not change with the order in which the addresses are given', () => {
    fc.assert(
      fc.property(manyAddresses, (addresses) => {
        assert.deepEqual(slotsOf(addresses.toReversed()), slotsOf(addresses));
        assert.deepEqual(slotsOf(addresses.toSorted()), slotsOf(addresses));
      }),
    );
  });

  test('change little when an address comes or goes: its own share, and at most a quarter of all', () => {
    fc.assert(
      fc.property(manyAddresses, (addresses) => {
        const [more, fewer] = [slotsOf(addresses), slotsOf(addresses.slice(1))];
        const moved = more.filter((address, slot) => address !== fewer[slot]).length;
        assert.ok(moved <= slotCount / addresses.length + slotCount / 4, `${moved} slots of ${addresses.length}`);
      }),
    );
  });

  test('all have the address, when there is one', () => {
    assert.deepEqual(new Set(slotsOf(['192.0.2.1'])), new Set(['192.0.2.1']));
  });

  // Gateways of different versions serve one exit while a cluster is upgraded.
  test('are the same in all versions', () => {
    const lastDigits = (...addresses: Address[]) =>
      slotsOf(addresses)
        .map((address) => address.at(-1))
        .join('');
    assert.equal(
      lastDigits('192.0.2.1', '192.0.2.2', '192.0.2.3'),
      '3132231232113333322113113322212332112132232112233111211312223213',
    );
    assert.equal(
      lastDigits('2001:db8::1', '2001:db8::2'),
      '1221111111211121211221122122121211221212212121212222222222112111',
    );
  });
});

describe('the address of a pod', () => {
  test('is that of the slot which the low six bits of its own address name', () => {
    const low = (pod: Address) => Number(familyOf(pod) === 4 ? pod.split('.')[3] : `0x${pod.slice(-2)}`) % 64;
    for (const pods of [
      ['10.0.0.0', '10.0.0.63', '10.0.0.64', '10.9.8.255', '10.0.0.174'],
      ['fd00::ff', 'fd00::1:3f', 'fd00::a:40'],
    ]) {
      const addresses = pods[0]?.includes(':') ? ['2001:db8::1', '2001:db8::2'] : ['192.0.2.1', '192.0.2.2'];
      for (const pod of pods) assert.equal(addressOf(addresses, pod), slotsOf(addresses)[low(pod)], pod);
    }
  });

  test('is any of them for the pods of a node, whose addresses are one behind the other', () => {
    const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
    const pods = Array.from({ length: slotCount }, (_, i) => addressFromBytes(Buffer.of(10, 0, 0, 2 + i)));
    const counts = addresses.map((address) => pods.filter((pod) => addressOf(addresses, pod) === address).length);
    assert.deepEqual(counts.toSorted(), [21, 21, 22]);
  });
});
