import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressFromBytes, type Family, families } from '../../../src/base/address.ts';
import { type Advertisement, badReasons } from '../../../src/election/advertisement.ts';
import { decodeAdvertisement, encodeAdvertisement, packetOf4, vrrpGroups } from '../../../src/kernel/packet/vrrp.ts';

const source = { 4: '192.0.2.3', 6: 'fe80::3' } as const;

const advertisement = (family: Family): Advertisement => ({
  vrid: 51,
  priority: 200,
  interval: 10,
  addresses: family === 4 ? ['192.0.2.33', '192.0.2.34'] : ['fe80::33', '2001:db8::33'],
});

const packet = (family: Family, message: Buffer, changes: object = {}) => ({
  source: source[family],
  destination: vrrpGroups[family],
  hops: 255,
  message,
  ...changes,
});

const decoded = (family: Family, change: (message: Buffer) => Buffer | undefined, changes: object = {}) => {
  const message = encodeAdvertisement(advertisement(family), source[family]);
  return decodeAdvertisement(packet(family, change(message) ?? message, changes));
};

/** The checksum anew, as RFC 1071 wants it, over a pseudo-header of RFC 8200 (IPv4 alike) or without. */
function withChecksum(message: Buffer, family: Family, isPseudo = true): Buffer {
  message.writeUInt16BE(0, 6);
  const bytes = [source[family], vrrpGroups[family]].map((address) =>
    family === 4
      ? Buffer.from(address.split('.').map(Number))
      : Buffer.from(
          address.replace(/^(\w+)::(\w+)$/, (_, a, b) => a + '0'.repeat(24) + b.padStart(4, '0')),
          'hex',
        ),
  );
  const tail = Buffer.from([0, 112, message.length >> 8, message.length & 0xff]);
  const all = Buffer.concat([...(isPseudo ? [...bytes, tail] : []), message]);
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) sum += all.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  message.writeUInt16BE(~sum & 0xffff, 6);
  return message;
}

describe('an advertisement of VRRP version 3', () => {
  test('is these bytes: as keepalived 2.2.7 sends it', () => {
    const said = { vrid: 51, priority: 100, interval: 100, addresses: ['192.0.2.33'] };
    const message = encodeAdvertisement(said, '192.0.2.4');
    assert.equal(message.toString('hex').slice(0, 12), '313364010064');
    assert.equal(message.toString('hex').slice(16), 'c0000221');
  });

  for (const family of families) {
    test(`comes back as it was sent, over IPv${family}`, () => {
      const heard = decoded(family, (message) => message);
      assert.deepEqual(heard, { ...advertisement(family), family, source: source[family] });
    });

    test(`has a checksum over the pseudo-header of IPv${family}`, () => {
      const message = encodeAdvertisement(advertisement(family), source[family]);
      assert.equal(message.toString('hex'), withChecksum(Buffer.from(message), family).toString('hex'));
    });

    test(`is told why it is none, over IPv${family}`, () => {
      const write = (offset: number, value: number) => (message: Buffer) => {
        message.writeUInt8(value, offset);
        return withChecksum(message, family);
      };
      assert.equal(
        decoded(family, (message) => message, { hops: 254 }),
        'ttl',
      );
      assert.equal(decoded(family, write(0, 0x21)), 'version');
      assert.equal(decoded(family, write(0, 0x32)), 'type');
      assert.equal(decoded(family, write(3, 3)), 'length');
      assert.equal(decoded(family, write(3, 1)), 'length');
      assert.equal(
        decoded(family, (message) => withChecksum(write(3, 0)(message).subarray(0, 8), family)),
        'addresses',
      );
      assert.equal(decoded(family, write(1, 0)), 'addresses');
      assert.equal(decoded(family, write(5, 0)), 'interval');
      assert.equal(
        decoded(family, (message) => void message.writeUInt16BE(message.readUInt16BE(6) ^ 1, 6)),
        'checksum',
      );
      assert.equal(
        decoded(family, (message) => message.subarray(0, 7)),
        'length',
      );
    });
  }

  test('of IPv4 is taken without the pseudo-header too (RFC 9568), of IPv6 not', () => {
    const without = (family: Family) => decoded(family, (message) => withChecksum(message, family, false));
    assert.equal(typeof without(4), 'object');
    assert.equal(without(6), 'checksum');
  });
});

describe('whatever comes', () => {
  const bytes = (family: Family) =>
    fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }).map(addressFromBytes);

  for (const family of families) {
    test(`an advertisement survives the way, over IPv${family}`, () => {
      const any = fc.record({
        vrid: fc.integer({ min: 1, max: 255 }),
        priority: fc.nat(255),
        interval: fc.integer({ min: 1, max: 4095 }),
        addresses: fc.array(bytes(family), { minLength: 1, maxLength: 255 }),
      });
      fc.assert(
        fc.property(any, bytes(family), (said, from) => {
          const message = encodeAdvertisement(said, from);
          const heard = decodeAdvertisement(packet(family, message, { source: from }));
          assert.deepEqual(heard, { ...said, family, source: from });
        }),
      );
    });

    test(`one changed bit is never an advertisement again, over IPv${family}`, () => {
      fc.assert(
        fc.property(fc.nat(8 * (family === 4 ? 16 : 40) - 1), (bit) => {
          const heard = decoded(family, (message) => {
            message.writeUInt8(message.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
            return message;
          });
          assert.equal(typeof heard, 'string');
        }),
      );
    });

    test(`random bytes are a reason, and no error, over IPv${family}`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(255), fc.boolean(), (random, hops, isLike) => {
          const message = Buffer.from(random);
          if (isLike && message.length > 0) message.writeUInt8(0x31, 0);
          const heard = decodeAdvertisement(packet(family, message, { hops: isLike ? 255 : hops }));
          assert.ok(typeof heard === 'object' || badReasons.includes(heard));
        }),
      );
    });
  }

  test('a raw packet of IPv4 is taken apart behind its options, or not at all', () => {
    const header = Buffer.from('4600002000000000ff70000' + '0c0000203e000001294040000', 'hex');
    const { message, ...rest } = packetOf4(Buffer.concat([header, Buffer.from('abc')])) ?? {};
    assert.deepEqual(rest, { source: '192.0.2.3', destination: '224.0.0.18', hops: 255 });
    assert.equal(message?.toString(), 'abc');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (random) => {
        packetOf4(Buffer.from(random));
      }),
    );
    assert.equal(packetOf4(header.subarray(0, 20)), undefined);
  });
});
