import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import {
  type InterfaceAddress,
  type LocalExit,
  resolveExit,
  resolveThroughTunnel,
} from '../../../src/node/resolve-exit.ts';

const exit = (more: Partial<LocalExit> = {}): LocalExit => ({
  name: 'partners',
  id: 7,
  gateways: [],
  interface: 'eth1',
  nextHops: {},
  addresses: [],
  annotationNamespaces: [],
  onUnavailable: 'drop',
  ...more,
});

const link = { index: 3, name: 'eth1', up: true, mtu: 1500 };

const own = (address: string, more: Partial<InterfaceAddress> = {}): InterfaceAddress => ({
  family: address.includes(':') ? 6 : 4,
  address,
  prefixLength: address.includes(':') ? 64 : 24,
  scope: 0,
  usable: true,
  ...more,
});

const dual = [own('192.168.0.240'), own('192.168.0.241'), own('fe80::1', { scope: 253 }), own('2001:db8::1')];

const waysOf = (configured: LocalExit, addresses: readonly InterfaceAddress[] = dual) =>
  resolveExit(configured, { link, addresses }).ways;

const refusal = (code: string, message: string) => (error: unknown) => {
  assert.ok(error instanceof EgressError);
  assert.deepEqual([error.code, error.message], [code, message]);
  return true;
};

describe('an exit on this node', () => {
  test('leaves with its configured addresses, through its next hops', () => {
    const configured = exit({ nextHops: { 4: '192.168.0.1' }, addresses: ['192.168.0.245'] });
    assert.deepEqual(resolveExit(configured, { link, addresses: dual }), {
      name: 'partners',
      id: 7,
      device: 'eth1',
      ways: [{ family: 4, addresses: ['192.168.0.245'], via: '192.168.0.1', networks: ['192.168.0.0/24'] }],
    });
  });

  test('has a router that is in no network of the interface, if it says so', () => {
    const configured = exit({ nextHops: { 4: '172.31.1.1' }, addresses: ['198.51.100.7'], onlink: true });
    assert.deepEqual(waysOf(configured, [own('198.51.100.7', { prefixLength: 32 })]), [
      { family: 4, addresses: ['198.51.100.7'], via: '172.31.1.1', onlink: true },
    ]);
  });

  for (const [type, words] of [
    ['vrf', 'a member of a VRF: what pods send would leave, but answers look for the pods in the table of the VRF'],
    ['bridge', 'a port of a bridge, which packets leave by in its place'],
    ['bond', 'a link of a bond, which packets leave by in its place'],
    ['team', 'a link of a team, which packets leave by in its place'],
    ['openvswitch', 'a part of another interface, which packets leave by in its place'],
    [undefined, 'a part of another interface, which packets leave by in its place'],
  ] as const) {
    test(`does not leave by a part of another interface (${type ?? 'of a kind that the kernel does not tell'})`, () => {
      const part = { ...link, master: { index: 9, ...(type && { type }) } };
      assert.throws(
        () => resolveExit(exit(), { link: part, addresses: dual }),
        refusal('exit-interface', `Exit "partners" leaves by interface "eth1", which is ${words}`),
      );
    });
  }

  test('does not leave by a VRF', () => {
    assert.throws(
      () => resolveExit(exit(), { link: { ...link, type: 'vrf' }, addresses: dual }),
      refusal(
        'exit-interface',
        'Exit "partners" leaves by interface "eth1", which is a VRF: pods outside of it get no answers from there',
      ),
    );
  });

  test('leaves with the first address of the interface in each family when it has none of its own', () => {
    assert.deepEqual(waysOf(exit()), [
      { family: 4, addresses: ['192.168.0.240'] },
      { family: 6, addresses: ['2001:db8::1'] },
    ]);
  });

  test('has only the families of its next hops then', () => {
    assert.deepEqual(waysOf(exit({ nextHops: { 6: 'fe80::99' } })), [
      { family: 6, addresses: ['2001:db8::1'], via: 'fe80::99', networks: ['2001:db8::/64'] },
    ]);
  });

  test('lacks a family in which the interface has no address', () => {
    assert.deepEqual(waysOf(exit({ nextHops: { 4: '192.168.0.1', 6: 'fe80::99' } }), [own('192.168.0.240')]), [
      { family: 4, addresses: ['192.168.0.240'], via: '192.168.0.1', networks: ['192.168.0.0/24'] },
    ]);
  });

  for (const [what, trait] of [
    ['a link-local', { scope: 253 }],
    ['a host-local', { scope: 254 }],
    ['an unusable', { usable: false }],
  ] as const) {
    test(`does not leave with ${what} address`, () => {
      const ways = waysOf(exit(), [own('2001:db8::bad', trait), own('2001:db8::1')]);
      assert.deepEqual(ways, [{ family: 6, addresses: ['2001:db8::1'] }]);
    });
  }
});

describe('the networks of the interface', () => {
  const networksOf = (via: string, addresses: readonly InterfaceAddress[]) =>
    waysOf(exit({ nextHops: { [via.includes(':') ? 6 : 4]: via } }), addresses).map(({ networks }) => networks);

  test('are reached without the next hop, each once and in one order', () => {
    const addresses = [own('192.168.9.7', { prefixLength: 20 }), own('192.168.0.240'), own('192.168.0.241')];
    assert.deepEqual(networksOf('192.168.0.1', addresses), [['192.168.0.0/20', '192.168.0.0/24']]);
  });

  test('are those of the family of the way', () => {
    assert.deepEqual(networksOf('fe80::99', [own('192.168.0.240'), own('2001:db8::1')]), [['2001:db8::/64']]);
  });

  test('are none for single addresses, and none that are on the link alone', () => {
    const single = [own('192.168.0.240', { prefixLength: 32 }), own('192.168.0.241', { scope: 253 })];
    assert.deepEqual(networksOf('192.168.0.1', single), [undefined]);
    const ipv6 = [own('2001:db8::1', { prefixLength: 128 }), own('fe80::1', { scope: 253 })];
    assert.deepEqual(networksOf('fe80::99', ipv6), [undefined]);
  });

  test('count also where an address is deprecated: its neighbours are there', () => {
    const addresses = [own('2001:db8::1', { prefixLength: 128 }), own('2001:db8:7::1', { usable: false })];
    assert.deepEqual(networksOf('fe80::99', addresses), [['2001:db8:7::/64']]);
  });

  test('are not told of where everything is reached without a next hop', () => {
    assert.deepEqual(waysOf(exit()), [
      { family: 4, addresses: ['192.168.0.240'] },
      { family: 6, addresses: ['2001:db8::1'] },
    ]);
  });
});

describe('what an exit does when it is not available', () => {
  const facts = { link, addresses: dual };

  test('is told only where its packets may leave with the node’s address', () => {
    assert.equal(resolveExit(exit({ onUnavailable: 'node' }), facts).onUnavailable, 'node');
    assert.equal('onUnavailable' in resolveExit(exit({ onUnavailable: 'drop' }), facts), false);
  });

  test('is the same through the tunnel', () => {
    const configured = exit({ addresses: ['192.0.2.50'], onUnavailable: 'node' });
    assert.equal(resolveThroughTunnel(configured, '172.18.0.6', 'egress0').onUnavailable, 'node');
  });
});

test('an exit whose next hop is the interface’s own address is not usable: the kernel would pass over it', () => {
  assert.throws(
    () => resolveExit(exit({ nextHops: { 4: '192.168.0.240' } }), { link, addresses: [own('192.168.0.240')] }),
    new EgressError(
      'exit-interface',
      'Exit "partners" has the next hop 192.168.0.240, which is the own address of interface "eth1" on this node',
    ),
  );
});

test('an exit through the tunnel has the gateway and the addresses, and nothing of an interface', () => {
  const configured = exit({
    gateways: ['172.18.0.6'],
    nextHops: { 4: '192.168.0.1', 6: 'fe80::99' },
    addresses: ['2001:db8:50::1', '192.0.2.50'],
  });
  assert.deepEqual(resolveThroughTunnel(configured, '172.18.0.6', 'egress0'), {
    name: 'partners',
    id: 7,
    device: 'egress0',
    shared: true,
    gateway: '172.18.0.6',
    ways: [
      { family: 4, addresses: ['192.0.2.50'] },
      { family: 6, addresses: ['2001:db8:50::1'] },
    ],
  });
});

describe('an exit that this node cannot use', () => {
  test('because the interface does not exist', () => {
    assert.throws(
      () => resolveExit(exit(), { addresses: [] }),
      refusal('exit-interface', 'Exit "partners" leaves by interface "eth1", which does not exist on this node'),
    );
  });

  test('because the interface is down, even with addresses of its own', () => {
    assert.throws(
      () => resolveExit(exit({ addresses: ['192.168.0.245'] }), { link: { ...link, up: false }, addresses: dual }),
      refusal('exit-interface', 'Exit "partners" leaves by interface "eth1", which is down'),
    );
  });

  test('because there is no address', () => {
    assert.throws(
      () => waysOf(exit(), [own('fe80::1', { scope: 253 })]),
      refusal(
        'exit-address',
        'Exit "partners" has no addresses, and its interface "eth1" has no global address in use',
      ),
    );
  });

  test('because there is no address of the family of the next hop', () => {
    assert.throws(
      () => waysOf(exit({ nextHops: { 6: 'fe80::99' } }), [own('192.168.0.240')]),
      refusal(
        'exit-address',
        'Exit "partners" has no addresses, and its interface "eth1" has no global IPv6 address in use',
      ),
    );
  });
});
