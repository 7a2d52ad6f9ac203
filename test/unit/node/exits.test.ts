import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError, type ErrorCode } from '../../../src/base/errors.ts';
import { gatewayOf, resolveOnNode } from '../../../src/node/exits.ts';
import { findOwnEnd } from '../../../src/node/own-end.ts';
import type { Exit } from '../../../src/policy/exit.ts';
import { configuration, gatewayConfiguration, held, newMachine, newNode } from '../support/fake-machine.ts';

const isError = (code: ErrorCode, details: RegExp) => (error: unknown) => {
  assert.ok(error instanceof EgressError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, details);
  return true;
};

const exit = (more: Partial<Exit> = {}): Exit => ({
  name: 'shared',
  id: 50,
  gateways: ['172.18.0.6', '172.18.0.7'],
  nextHops: {},
  addresses: ['192.0.2.50'],
  annotationNamespaces: [],
  onUnavailable: 'drop',
  ...more,
});

const link = { index: 30, name: 'eth7', up: true, mtu: 1500 };

describe('this node’s end of the tunnel', () => {
  test('is nowhere when no exit has gateways: nobody is asked', async (t) => {
    const { host } = newMachine(t);
    host.listAllAddresses = () => assert.fail('asked for addresses');
    assert.equal(await findOwnEnd(host, configuration()), undefined);
  });

  test('is the address that is given, though nodes list another of its own', async (t) => {
    const { host } = newNode(t, '172.18.0.6');
    host.links.set('eth1', { index: 2, name: 'eth1', up: true, mtu: 9000 });
    host.linkAddresses.set('eth1', [held('172.18.0.5')]);
    const own = await findOwnEnd(host, gatewayConfiguration({}, { node: '172.18.0.5' }));
    assert.deepEqual(own, { address: '172.18.0.5', underlayMtu: 9000 });
  });

  test('is the address that is listed among nodes, or among gateways', async (t) => {
    const { host } = newNode(t, '172.18.0.5');
    host.linkAddresses.set('eth1', [held('192.168.0.240')]);
    assert.deepEqual(await findOwnEnd(host, gatewayConfiguration()), { address: '172.18.0.5', underlayMtu: 1500 });
    const asGateway = newNode(t, '172.18.0.6').host;
    assert.equal((await findOwnEnd(asGateway, gatewayConfiguration({ nodes: [] })))?.address, '172.18.0.6');
  });

  test('is of the family of the gateways, whatever else is listed', async (t) => {
    const { host } = newNode(t, 'fd00:18::6');
    host.linkAddresses.set('eth1', [held('172.18.0.6')]);
    const nodes = [{ address: '172.18.0.6' }, { address: 'fd00:18::6' }];
    const exits = [{ name: 'shared', gateways: ['fd00:18::9'], addresses: ['192.0.2.50'] }];
    assert.equal((await findOwnEnd(host, gatewayConfiguration({ nodes, exits })))?.address, 'fd00:18::6');
  });

  for (const [what, link] of [
    ['the tunnel’s own device', { index: 99, name: 'egress0', up: true, mtu: 1450, type: 'vxlan' }],
    [
      'kube-proxy’s device for addresses of Services',
      { index: 99, name: 'kube-ipvs0', up: false, mtu: 900, type: 'dummy' },
    ],
    ['a dummy', { index: 99, name: 'dummy0', up: true, mtu: 900, type: 'dummy' }],
    ['loopback', { index: 1, name: 'lo', up: true, mtu: 900 }],
  ] as const) {
    test(`has the MTU of the interface that packets leave by, though ${what} with the address comes first`, async (t) => {
      const { host } = newMachine(t);
      host.links.clear();
      host.linkAddresses.clear();
      for (const each of [link, { index: 20, name: 'eth0', up: true, mtu: 1500 }]) {
        host.links.set(each.name, each);
        host.linkAddresses.set(each.name, [held('172.18.0.5')]);
      }
      for (const node of [{}, { node: '172.18.0.5' }]) {
        const own = await findOwnEnd(host, gatewayConfiguration({}, node));
        assert.deepEqual(own, { address: '172.18.0.5', underlayMtu: 1500 });
      }
    });

    test(`is not another node’s address that ${what} has`, async (t) => {
      const { host } = newNode(t, '172.18.0.5');
      host.links.set(link.name, link);
      host.linkAddresses.set(link.name, [held('172.18.0.6')]);
      const nodes = [{ address: '172.18.0.6' }, { address: '172.18.0.5' }];
      assert.equal((await findOwnEnd(host, gatewayConfiguration({ nodes })))?.address, '172.18.0.5');
    });
  }

  test('on loopback, where a node routes to itself, has the MTU of the way to the gateways', async (t) => {
    const { host } = newMachine(t);
    host.links.set('lo', { index: 1, name: 'lo', up: true, mtu: 65536 });
    host.linkAddresses.set('lo', [held('172.18.0.5')]);
    host.links.set('eth0', { index: 20, name: 'eth0', up: true, mtu: 9000 });
    host.defaultRoutes.set(4, { device: { index: 20, name: 'eth0', up: true, mtu: 9000 } });
    const own = await findOwnEnd(host, gatewayConfiguration());
    assert.deepEqual(own, { address: '172.18.0.5', underlayMtu: 9000 });
  });

  const byRange = { nodes: [], tunnel: { allowedSources: ['172.18.0.0/16'] } };

  test('is the first in use of the interface with the default route, when nodes are known by ranges', async (t) => {
    const { host } = newNode(t, '172.18.0.9');
    host.linkAddresses.set('eth1', [held('172.18.7.7')]);
    host.linkAddresses.set('eth0', [
      { ...held('172.18.0.1'), usable: false },
      { ...held('172.18.0.2'), scope: 253 },
      held('172.18.0.9'),
      held('172.18.0.10'),
    ]);
    host.defaultRoutes.set(4, { device: { ...link, index: 20, name: 'eth0' }, via: '172.18.0.254' });
    assert.equal((await findOwnEnd(host, gatewayConfiguration(byRange)))?.address, '172.18.0.9');
  });

  test('is missed when there is no default route either', async (t) => {
    const { host } = newNode(t, '172.18.0.9');
    await assert.rejects(
      findOwnEnd(host, gatewayConfiguration(byRange)),
      isError('node-address', /no IPv4 address on the interface of its default route/),
    );
  });

  test('cannot be an address of another node', async (t) => {
    const { host } = newNode(t, '172.18.0.6');
    await assert.rejects(
      findOwnEnd(host, gatewayConfiguration({}, { node: '172.18.0.5' })),
      isError('node-address', /172\.18\.0\.5 is no address of this node/),
    );
  });

  test('must be one that gateways take packets from', async (t) => {
    const { host } = newNode(t, '172.18.0.9');
    await assert.rejects(
      findOwnEnd(host, gatewayConfiguration({}, { node: '172.18.0.9' })),
      isError('node-address', /172\.18\.0\.9 is in neither nodes nor tunnel\.allowedSources/),
    );
  });
});

describe('the gateway of an exit', () => {
  test('is the first, or the one that it was moved to', () => {
    assert.equal(gatewayOf(exit(), {}), '172.18.0.6');
    assert.equal(gatewayOf(exit(), { other: '172.18.0.7' }), '172.18.0.6');
    assert.equal(gatewayOf(exit(), { shared: '172.18.0.7' }), '172.18.0.7');
  });

  test('is the first again when the one that it was moved to is no gateway of it any more', () => {
    assert.equal(gatewayOf(exit(), { shared: '172.18.0.8' }), '172.18.0.6');
  });

  test('is none of an exit that leaves from the pod’s node', () => {
    assert.equal(gatewayOf(exit({ gateways: [] }), { shared: '172.18.0.7' }), undefined);
  });
});

describe('an exit on a node', () => {
  const own = { address: '172.18.0.6', underlayMtu: 1500 };

  test('leads through the tunnel when its gateway is another node, without a look at the interface', async (t) => {
    const { host } = newMachine(t);
    assert.deepEqual(await resolveOnNode(host, exit({ interface: 'eth99' }), own, { shared: '172.18.0.7' }), {
      name: 'shared',
      id: 50,
      device: 'egress0',
      gateway: '172.18.0.7',
      shared: true,
      ways: [{ family: 4, addresses: ['192.0.2.50'] }],
    });
  });

  test('leaves by its interface on its gateway', async (t) => {
    const { host } = newMachine(t);
    const resolved = await resolveOnNode(host, exit({ interface: 'eth1' }), own, {});
    assert.deepEqual([resolved.device, resolved.gateway], ['eth1', undefined]);
  });

  test('without gateways leaves by its interface wherever the pod is', async (t) => {
    const { host } = newMachine(t);
    host.linkAddresses.set('eth1', [held('192.168.0.240')]);
    const local = exit({ gateways: [], interface: 'eth1', addresses: [] });
    assert.deepEqual(await resolveOnNode(host, local, undefined, {}), {
      name: 'shared',
      id: 50,
      device: 'eth1',
      ways: [{ family: 4, addresses: ['192.168.0.240'] }],
    });
  });

  test('fails on its gateway when the interface is not there', async (t) => {
    const { host } = newMachine(t);
    await assert.rejects(
      resolveOnNode(host, exit({ interface: 'eth99' }), own, {}),
      isError('exit-interface', /"eth99", which does not exist/),
    );
  });
});

describe('an exit without an interface, on its gateway,', () => {
  const own = { address: '172.18.0.6', underlayMtu: 1500 };
  const dual = exit({ addresses: ['192.0.2.50', '2001:db8:50::1'] });

  test('leaves as the default routes of its families do', async (t) => {
    const { host } = newMachine(t);
    host.links.set('eth7', link);
    host.linkAddresses.set('eth7', [held('198.51.100.7')]);
    host.defaultRoutes.set(4, { device: link, via: '198.51.100.1' });
    host.defaultRoutes.set(6, { device: link, via: 'fe80::1' });
    assert.deepEqual((await resolveOnNode(host, dual, own, {})).ways, [
      { family: 4, addresses: ['192.0.2.50'], via: '198.51.100.1', networks: ['198.51.100.0/24'] },
      { family: 6, addresses: ['2001:db8:50::1'], via: 'fe80::1' },
    ]);
  });

  test('leaves without a next hop where the default route has none', async (t) => {
    const { host } = newMachine(t);
    host.links.set('eth7', link);
    host.defaultRoutes.set(4, { device: link });
    const { device, ways } = await resolveOnNode(host, exit(), own, {});
    assert.deepEqual([device, ways], ['eth7', [{ family: 4, addresses: ['192.0.2.50'] }]]);
  });

  test('has the interface of the only family with a default route', async (t) => {
    const { host } = newMachine(t);
    host.links.set('eth7', link);
    host.defaultRoutes.set(6, { device: link, via: 'fe80::1' });
    assert.equal((await resolveOnNode(host, dual, own, {})).device, 'eth7');
  });

  test('does not ask for the route of a family that it has no address of', async (t) => {
    const { host } = newMachine(t);
    host.links.set('eth7', link);
    host.defaultRoutes.set(6, { device: { ...link, index: 31, name: 'eth8' }, via: 'fe80::1' });
    host.defaultRoutes.set(4, { device: link, via: '198.51.100.1' });
    assert.equal((await resolveOnNode(host, exit(), own, {})).device, 'eth7');
  });

  test('fails when there is no default route of its families', async (t) => {
    const { host } = newMachine(t);
    host.defaultRoutes.set(6, { device: link, via: 'fe80::1' });
    await assert.rejects(
      resolveOnNode(host, exit(), own, {}),
      isError('exit-interface', /names no interface, and this node has no default route/),
    );
  });
});
