import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import type { Exit } from '../../../src/policy/exit.ts';
import { type InterfaceAddress, resolveExit } from '../../../src/policy/resolve-exit.ts';

const exit = (more: Partial<Exit> = {}): Exit => ({
  name: 'partners',
  id: 7,
  interface: 'eth1',
  nextHops: {},
  addresses: {},
  ...more,
});

const link = { index: 3, name: 'eth1', up: true };

const own = (address: string, more: Partial<InterfaceAddress> = {}): InterfaceAddress => ({
  family: address.includes(':') ? 6 : 4,
  address,
  scope: 0,
  usable: true,
  ...more,
});

const dual = [own('192.168.0.240'), own('192.168.0.241'), own('fe80::1', { scope: 253 }), own('2001:db8::1')];

const waysOf = (configured: Exit, addresses: readonly InterfaceAddress[] = dual) =>
  resolveExit(configured, { link, addresses }).ways;

const refusal = (code: string, message: string) => (error: unknown) => {
  assert.ok(error instanceof EgressError);
  assert.deepEqual([error.code, error.message], [code, message]);
  return true;
};

describe('an exit on this node', () => {
  test('leaves with its configured addresses, through its next hops', () => {
    const configured = exit({ nextHops: { 4: '192.168.0.1' }, addresses: { 4: '192.168.0.245' } });
    assert.deepEqual(resolveExit(configured, { link, addresses: dual }), {
      name: 'partners',
      id: 7,
      device: 'eth1',
      ways: [{ family: 4, address: '192.168.0.245', via: '192.168.0.1' }],
    });
  });

  test('leaves with the first address of the interface in each family when it has none of its own', () => {
    assert.deepEqual(waysOf(exit()), [
      { family: 4, address: '192.168.0.240' },
      { family: 6, address: '2001:db8::1' },
    ]);
  });

  test('has only the families of its next hops then', () => {
    assert.deepEqual(waysOf(exit({ nextHops: { 6: 'fe80::99' } })), [
      { family: 6, address: '2001:db8::1', via: 'fe80::99' },
    ]);
  });

  test('lacks a family in which the interface has no address', () => {
    assert.deepEqual(waysOf(exit({ nextHops: { 4: '192.168.0.1', 6: 'fe80::99' } }), [own('192.168.0.240')]), [
      { family: 4, address: '192.168.0.240', via: '192.168.0.1' },
    ]);
  });

  for (const [what, trait] of [
    ['a link-local', { scope: 253 }],
    ['a host-local', { scope: 254 }],
    ['an unusable', { usable: false }],
  ] as const) {
    test(`does not leave with ${what} address`, () => {
      const ways = waysOf(exit(), [own('2001:db8::bad', trait), own('2001:db8::1')]);
      assert.deepEqual(ways, [{ family: 6, address: '2001:db8::1' }]);
    });
  }
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
      () => resolveExit(exit({ addresses: { 4: '192.168.0.245' } }), { link: { ...link, up: false }, addresses: dual }),
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
