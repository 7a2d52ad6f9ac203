import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { contains, parseAddress } from '../../../src/base/address.ts';
import { difference, keyOf } from '../../../src/datapath/difference.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import {
  desiredTunnel,
  nextHopOf,
  tunnelChains,
  tunnelDevice,
  tunnelMac,
  tunnelMtu,
  tunnelSets,
} from '../../../src/datapath/tunnel.ts';
import { node, tunnel } from './samples.ts';

const golden = (name: string) => readFileSync(new URL(`golden/${name}.txt`, import.meta.url), 'utf8');

const anyAddress = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseAddress(text) ?? '');

/** Addresses as if drawn, the same every time (a linear congruential generator). */
function drawn(count: number, addressOf: (draw: () => number) => string): string[] {
  let state = 1;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  return Array.from({ length: count }, () => parseAddress(addressOf(draw)) ?? '');
}

const dotted = (draw: () => number) => {
  const bits = draw();
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
};

const inOneNetwork = (draw: () => number) =>
  `2001:db8::${[draw(), draw(), draw(), draw()].map((part) => (part >>> 16).toString(16)).join(':')}`;

describe('the MAC address of an end', () => {
  test('holds its IPv4 address', () => {
    assert.equal(tunnelMac('172.18.0.5'), '02:e6:ac:12:00:05');
    assert.equal(tunnelMac('255.254.9.10'), '02:e6:ff:fe:09:0a');
  });

  test('holds the FNV-1a hash of its IPv6 address', () => {
    assert.equal(tunnelMac('2001:db8::5'), '02:e6:36:ef:c3:7b');
  });

  test('is locally administered, and nobody’s group', () => {
    fc.assert(fc.property(anyAddress, (end) => assert.match(tunnelMac(end), /^02:e6(:[0-9a-f]{2}){4}$/)));
  });

  for (const [family, addressOf] of [
    ['IPv4', dotted],
    ['IPv6', inOneNetwork],
  ] as const) {
    test(`is unlike all others of 1000 nodes with ${family} addresses`, () => {
      const ends = new Set(drawn(1000, addressOf));
      assert.equal(ends.size, 1000);
      assert.equal(new Set([...ends].map(tunnelMac)).size, ends.size);
    });
  }

  test('is unlike all others of 1000 nodes that are numbered one by one', () => {
    const ends = Array.from({ length: 1000 }, (_, i) => parseAddress(`2001:db8::${(i + 1).toString(16)}`) ?? '');
    assert.equal(new Set(ends.map(tunnelMac)).size, 1000);
  });
});

describe('the next hop that stands for an end', () => {
  test('is the end itself for IPv4 over IPv4', () => {
    assert.equal(nextHopOf('172.18.0.5', 4), '172.18.0.5');
  });

  test('is the link-local address of its MAC address for IPv6, and for IPv4 over IPv6', () => {
    assert.equal(nextHopOf('172.18.0.5', 6), 'fe80::e6:acff:fe12:5');
    assert.equal(nextHopOf('2001:db8::5', 6), nextHopOf('2001:db8::5', 4));
    assert.equal(nextHopOf('2001:db8::5', 6), 'fe80::e6:36ff:feef:c37b');
  });

  test('is on the link, and in canonical text', () => {
    fc.assert(
      fc.property(anyAddress, (end) => {
        const hop = nextHopOf(end, 6);
        assert.ok(contains('fe80::/64', hop), hop);
        assert.equal(parseAddress(hop), hop);
      }),
    );
  });
});

test('a packet of the largest size fits the underlay with all that VXLAN puts around it', () => {
  assert.equal(tunnelMtu(1500, '172.18.0.5'), 1450);
  assert.equal(tunnelMtu(1500, '2001:db8::5'), 1430);
  assert.equal(tunnelMtu(9000, '172.18.0.5'), 8950);
});

describe('a tunnel', () => {
  test('between IPv4 addresses takes a device, what leads to the peers, and who may use it', () => {
    const objects = [...tunnelSets(tunnel), ...desiredTunnel(node, tunnel), ...tunnelChains(node, tunnel)];
    assert.equal(printChanges(difference(objects, [])), golden('tunnel'));
  });

  test('between IPv6 addresses has one next hop for both families, and an address that nobody sends with', () => {
    const objects = desiredTunnel(node, { ...tunnel, local: 'fd00:18::5', mtu: 1430, peers: ['fd00:18::6'] });
    const mac = tunnelMac('fd00:18::6');
    assert.deepEqual(
      objects.filter(({ kind }) => ['address', 'neighbour', 'forwarding'].includes(kind)),
      [
        { kind: 'address', device: tunnelDevice, address: '192.0.0.8', prefixLength: 32, scope: 'link' },
        { kind: 'neighbour', device: tunnelDevice, address: nextHopOf('fd00:18::6', 6), mac },
        { kind: 'forwarding', device: tunnelDevice, mac, remote: 'fd00:18::6' },
      ],
    );
  });

  test('of one family knows its peers by the next hops of that family alone', () => {
    const addresses = (families: readonly (4 | 6)[]) =>
      desiredTunnel(node, { ...tunnel, families, peers: ['172.18.0.6'] }).flatMap((object) =>
        object.kind === 'neighbour' ? [object.address] : [],
      );
    assert.deepEqual(addresses([4]), ['172.18.0.6']);
    assert.deepEqual(addresses([6]), ['fe80::e6:acff:fe12:6']);
  });

  test('has no two objects of one key', () => {
    const keys = desiredTunnel(node, tunnel).map(keyOf);
    assert.deepEqual(keys, [...new Set(keys)]);
  });
});
