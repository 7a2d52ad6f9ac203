import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Forwarding, InterfaceAddress, Neighbour, Route, TunnelLink } from '../../../src/datapath/objects.ts';
import { KernelError, type NetlinkSocket, type Reply } from '../../../src/kernel/netlink/socket.ts';
import { type Attribute, walk } from '../../../src/kernel/netlink/wire.ts';
import { encodeAddress, findOurAddresses, listAllAddresses } from '../../../src/kernel/rtnetlink/address.ts';
import { defaultRoute } from '../../../src/kernel/rtnetlink/default-route.ts';
import {
  decodeForwarding,
  encodeForwarding,
  encodeForwardingListing,
} from '../../../src/kernel/rtnetlink/forwarding.ts';
import { decodePermanent, encodeNeighbour, encodeNeighbourListing } from '../../../src/kernel/rtnetlink/neighbour.ts';
import { encodeRoute, listRoutes } from '../../../src/kernel/rtnetlink/route.ts';
import { decodeTunnel, encodeNoAddress, encodeTunnel, encodeTunnelUp } from '../../../src/kernel/rtnetlink/tunnel.ts';

// Bytes that `ip`, `bridge` and the kernel exchanged, as in rtnetlink.test.ts. egress0 has the index 20, eth1 6.
const buffer = (...pieces: readonly string[]) => Buffer.from(pieces.join('').replaceAll(' ', ''), 'hex');

const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const structLength = 16;

type Tree = { readonly type: number; readonly value: string | readonly Tree[] };

/** Which attributes hold attributes again, and which of these do. */
interface Nesting extends Readonly<Record<number, Nesting>> {}
const linkNesting: Nesting = { [IFLA_LINKINFO]: { 2: {} }, [IFLA_AF_SPEC]: { 10: {} } };

/** Attributes whatever their order: `ip` has another. */
function tree(bytes: Buffer, nesting: Nesting): readonly Tree[] {
  const value = ({ type, payload }: Attribute) => {
    const inner = nesting[type];
    return inner === undefined ? payload.toString('hex') : tree(payload, inner);
  };
  return walk(bytes)
    .map((attribute) => ({ type: attribute.type, value: value(attribute) }))
    .sort((a, b) => a.type - b.type);
}

function assertSameMessage(actual: Buffer, expected: Buffer, length: number, nesting: Nesting = {}): void {
  assert.equal(actual.toString('hex', 0, length), expected.toString('hex', 0, length));
  const attributes = (bytes: Buffer) => tree(bytes.subarray(length), nesting);
  assert.deepEqual(attributes(actual), attributes(expected));
}

const tunnel: TunnelLink = {
  kind: 'tunnel',
  name: 'egress0',
  vni: 14597,
  port: 4788,
  local: '172.18.0.5',
  mac: '02:e6:ac:12:00:05',
  mtu: 1450,
  groupPolicy: true,
  learning: false,
  up: true,
};

describe('the messages that make a tunnel are those of ip', () => {
  // ip link add egress0 address 02:e6:ac:12:00:05 mtu 1450 group 230 type vxlan id 14597 dstport 4788 \
  //   local 172.18.0.5 nolearning gbp
  test('the device', () => {
    const expected = buffer(
      '00 00 0000 00000000 00000000 00000000',
      '0a00 0100 02e6ac120005 0000',
      '0800 0400 aa050000',
      '0c00 0300 6567726573733000',
      '0800 1b00 e6000000', // our group
      '3800 1200 0900 0100 76786c616e00 0000 2800 0200', // kind and data
      '0400 1700', // group policy
      '0800 0100 05390000',
      '0800 0400 ac120005',
      '0500 0700 00 000000',
      '0600 0f00 12b4 0000',
    );
    assertSameMessage(encodeTunnel(tunnel), expected, structLength, linkNesting);
  });

  test('the device over IPv6, without group policy and with learning, which is another attribute, none, and a 1', () => {
    const body = encodeTunnel({ ...tunnel, local: 'fd00::5', groupPolicy: false, learning: true });
    const expected = buffer(
      '00 00 0000 00000000 00000000 00000000',
      '0a00 0100 02e6ac120005 0000',
      '0800 0400 aa050000',
      '0c00 0300 6567726573733000',
      '0800 1b00 e6000000',
      '4000 1200 0900 0100 76786c616e00 0000 3000 0200',
      '0800 0100 05390000',
      '1400 1100 fd000000000000000000000000000005',
      '0500 0700 01 000000',
      '0600 0f00 12b4 0000',
    );
    assertSameMessage(body, expected, structLength, linkNesting);
  });

  // ip link set egress0 addrgenmode none
  test('no IPv6 address of its own', () => {
    const expected = buffer(
      '00 00 0000 00000000 00000000 00000000',
      '0c00 0300 6567726573733000',
      '1000 1a00 0c00 0a00 0500 0800 01 000000',
    );
    assertSameMessage(encodeNoAddress('egress0'), expected, structLength, linkNesting);
  });

  test('up and down', () => {
    const named = '0c00 0300 6567726573733000';
    assert.deepEqual(encodeTunnelUp(tunnel), buffer('00 00 0000 00000000 01000000 01000000', named));
    assert.deepEqual(encodeTunnelUp({ ...tunnel, up: false }), buffer('00 00 0000 00000000 00000000 01000000', named));
  });
});

describe('a device is our tunnel', () => {
  const named = '0c00 0300 6567726573733000';
  const group = '0800 1b00 e6000000';
  const vxlan = '0a00 0100 76786c616e00 0000';
  const rest = [named, '0800 0400 aa050000', '0a00 0100 02e6ac120005 0000'];
  const data = ['0400 1700', '0800 0100 05390000', '0800 0400 ac120005', '0500 0700 00 000000', '0600 0f00 12b4 0000'];
  const header = (flags: string) => `00 00 0100 14000000 ${flags}100100 00000000`;

  test('with its settings', () => {
    const info = ['3800 1200', vxlan, '2800 0200', ...data];
    assert.deepEqual(decodeTunnel(buffer(header('43'), ...rest, group, ...info)), tunnel);
    assert.deepEqual(decodeTunnel(buffer(header('42'), ...rest, group, ...info)), { ...tunnel, up: false });
  });

  test('not outside of our group', () => {
    assert.equal(decodeTunnel(buffer(header('43'), ...rest, '3800 1200', vxlan, '2800 0200', ...data)), undefined);
  });

  test('not when it is of another kind, whose data mean something else', () => {
    // A bond: the first attribute of its data is its mode, one byte.
    const bond = ['1c00 1200', '0900 0100 626f6e6400 000000', '0c00 0200', '0500 0100 01 000000'];
    assert.equal(decodeTunnel(buffer(header('43'), ...rest, group, ...bond)), undefined);
  });
});

describe('an address of ours', () => {
  const address: InterfaceAddress = {
    kind: 'address',
    device: 'egress0',
    address: '172.18.0.5',
    prefixLength: 32,
    scope: 'link',
  };
  const global6: InterfaceAddress = { ...address, address: 'fd00::5', prefixLength: 128, scope: 'global' };
  const bytes6 = 'fd000000000000000000000000000005';

  // ip addr add 172.18.0.5/32 dev egress0 scope link proto 230
  test('of IPv4 is added as ip does', () => {
    const expected = buffer('02 20 00 fd 14000000', '0800 0200 ac120005', '0800 0100 ac120005', '0500 0b00 e6 000000');
    assertSameMessage(encodeAddress(address, 20), expected, 8);
  });

  // ip addr add fd00::5/128 dev egress0 nodad preferred_lft 0 proto 230
  test('of IPv6 is added deprecated, without duplicate address detection', () => {
    const expected = buffer(
      '0a 80 00 00 14000000',
      `1400 0200 ${bytes6}`,
      `1400 0100 ${bytes6}`,
      '0800 0800 02000000', // flags
      '1400 0600 00000000 ffffffff 00000000 00000000', // lifetimes
      '0500 0b00 e6 000000',
    );
    assertSameMessage(encodeAddress(global6, 20), expected, 8);
  });

  test('of IPv6 on the link is never deprecated', () => {
    const types = walk(encodeAddress({ ...global6, address: 'fe80::5', scope: 'link' }, 20).subarray(8));
    assert.deepEqual(types.map(({ type }) => type).sort(), [1, 11, 2, 8]);
  });

  /** Answers a dump of each family with what it has, and any other question with the link egress0. */
  const kernel = (...bodies: readonly Buffer[]) => {
    const reply = (body: Buffer): Reply => ({ type: 0, flags: 2, body });
    const link = buffer('00 00 0100 14000000 43100100 00000000', '0c00 0300 6567726573733000');
    return {
      dump: async ({ body }: { body: Buffer }) => bodies.filter(([family]) => family === body[0]).map(reply),
      request: async () => [reply(link)],
    } as unknown as NetlinkSocket;
  };
  const ours4 = buffer('02 20 80 fd 14000000', '0800 0200 ac120005', '0800 0800 80000000', '0500 0b00 e6 000000');
  const ours6 = buffer('0a 80 a2 00 14000000', `1400 0100 ${bytes6}`, '0800 0800 a2000000', '0500 0b00 e6 000000');
  const kernels = buffer('0a 80 80 fe 01000000', `1400 0100 ${bytes6}`, '0800 0800 80000000', '0500 0b00 01 000000');
  const nobodys = buffer('02 18 80 00 06000000', '0800 0200 c0a80002', '0800 0800 80000000');

  test('is told from those of others by who made it', async () => {
    const listed = await findOurAddresses(kernel(ours6, kernels, ours4, nobodys));
    assert.deepEqual(listed, [address, global6]);
  });

  test('is listed among those of all interfaces', async () => {
    const listed = await listAllAddresses(kernel(ours6, ours4, nobodys));
    assert.deepEqual(
      listed.map(({ address, deviceIndex, usable }) => [address, deviceIndex, usable]),
      [
        ['172.18.0.5', 20, true],
        ['192.168.0.2', 6, true],
        ['fd00::5', 20, false],
      ],
    );
  });
});

describe('a neighbour of ours', () => {
  const neighbour: Neighbour = {
    kind: 'neighbour',
    device: 'egress0',
    address: '172.18.0.3',
    mac: '02:e6:ac:12:00:03',
  };
  const attributes = ['0800 0100 ac120003', '0a00 0200 02e6ac120003 0000'];

  // ip neigh replace 172.18.0.3 lladdr 02:e6:ac:12:00:03 dev egress0 nud permanent
  test('is made as ip does', () => {
    assert.deepEqual(encodeNeighbour(neighbour, 20), buffer('02 00 0000 14000000 8000 00 00', ...attributes));
  });

  // ip neigh show dev egress0
  test('is listed as ip does', () => {
    assert.deepEqual(encodeNeighbourListing(20), buffer('00 00 0000 00000000 0000 00 00', '0800 0800 14000000'));
  });

  test('is permanent and on its interface', () => {
    const listed = (index: string, state: string) =>
      decodePermanent(buffer(`02 00 0000 ${index} ${state} 00 01`, ...attributes), 'egress0', 20);
    assert.deepEqual(listed('14000000', '8000'), neighbour);
    assert.equal(listed('06000000', '8000'), undefined);
    assert.equal(listed('14000000', '0200'), undefined, 'reachable');
    assert.equal(listed('14000000', '4000'), undefined, 'without ARP');
  });
});

describe('a forwarding entry', () => {
  const mac = '02:e6:ac:12:00:03';
  const over4: Forwarding = { kind: 'forwarding', device: 'egress0', mac, remote: '172.18.0.3' };
  const over6: Forwarding = { ...over4, remote: 'fd00::3' };
  const lladdr = '0a00 0200 02e6ac120003 0000';
  const remote4 = '0800 0100 ac120003';
  const remote6 = '1400 0100 fd000000000000000000000000000003';

  // bridge fdb replace 02:e6:ac:12:00:03 dev egress0 dst 172.18.0.3 self
  test('is made as bridge does', () => {
    assert.deepEqual(encodeForwarding(over4, 20), buffer('07 00 0000 14000000 c000 02 00', lladdr, remote4));
    assert.deepEqual(encodeForwarding(over6, 20), buffer('07 00 0000 14000000 c000 02 00', lladdr, remote6));
  });

  test('is listed by its device', () => {
    assert.deepEqual(encodeForwardingListing(20), buffer('07 00 0000 14000000 0000 00 00'));
  });

  test('is permanent, in the device’s own table, and leads somewhere', () => {
    const listed = (header: string, ...rest: string[]) =>
      decodeForwarding(buffer(`07 00 0000 ${header}`, lladdr, ...rest), 'egress0', 20);
    assert.deepEqual(listed('14000000 c000 02 00', remote4), over4);
    assert.deepEqual(listed('14000000 8000 02 00', remote6), over6);
    assert.equal(listed('06000000 c000 02 00', remote4), undefined, 'of another device');
    assert.equal(listed('14000000 0200 02 00', remote4), undefined, 'learned');
    assert.equal(listed('14000000 c000 04 00', remote4), undefined, 'of a bridge');
    assert.equal(listed('14000000 c000 02 00'), undefined, 'without a remote');
  });
});

describe('a route through the tunnel', () => {
  const route = { kind: 'route', table: 500007, type: 'unicast', metric: 100 } as const;
  const onLink: Route = { ...route, family: 4, destination: '172.18.0.0/16', device: 'eth1' };
  const hop: Route = { ...route, family: 4, device: 'egress0', via: '172.18.0.3', onlink: true };
  const hop6: Route = { ...route, family: 4, device: 'egress0', via: 'fe80::3', onlink: true };

  // ip route replace 172.18.0.0/16 dev eth1 scope link table 500007 metric 100 protocol 230
  test('to a network on the link is that of ip', () => {
    const expected = buffer(
      '02 10 00 00 00 e6 fd 01 00000000',
      '0800 0100 ac120000',
      '0800 0f00 27a10700',
      '0800 0600 64000000',
      '0800 0400 06000000',
    );
    assertSameMessage(encodeRoute(onLink, 6), expected, 12);
  });

  // ip route replace default via 172.18.0.3 dev egress0 onlink table 500007 metric 100 protocol 230
  test('to a next hop that no address makes reachable is that of ip', () => {
    const expected = buffer(
      '02 00 00 00 00 e6 00 01 04000000',
      '0800 0500 ac120003',
      '0800 0f00 27a10700',
      '0800 0600 64000000',
      '0800 0400 14000000',
    );
    assertSameMessage(encodeRoute(hop, 20), expected, 12);
  });

  // ip route replace default via inet6 fe80::3 dev egress0 onlink table 500007 metric 100 protocol 230
  test('to a next hop of the other family is that of ip, which adds the destination 0.0.0.0', () => {
    const expected = buffer(
      '02 00 00 00 00 e6 00 01 04000000',
      '1600 1200 0a00 fe800000000000000000000000000003 0000',
      '0800 0f00 27a10700',
      '0800 0600 64000000',
      '0800 0400 14000000',
    );
    assertSameMessage(encodeRoute(hop6, 20), expected, 12);
  });

  test('is told back as it was made', async () => {
    const bodies = [encodeRoute(onLink, 20), encodeRoute(hop, 20), encodeRoute(hop6, 20)];
    const reply = (body: Buffer): Reply => ({ type: 0, flags: 2, body });
    const link = buffer('00 00 0100 14000000 43100100 00000000', '0c00 0300 6567726573733000');
    const socket = { dump: async () => bodies.map(reply), request: async () => [reply(link)] };
    const listed = await listRoutes(socket as unknown as NetlinkSocket, 4, 500007);
    assert.deepEqual(listed, [{ ...onLink, device: 'egress0' }, hop, hop6]);
  });
});

describe('the default route', () => {
  const replies = (bodies: readonly Buffer[]) => bodies.map((body) => ({ type: 0, flags: 2, body }));
  /** One that lists routes, and says nothing of where an address that nobody has is reached. */
  const kernel = (...bodies: readonly Buffer[]) =>
    ({
      request: async () => Promise.reject(new KernelError(113, 0, 'No route to host')),
      dump: async () => replies(bodies),
    }) as unknown as NetlinkSocket;
  const table = '0800 0f00 fe000000';
  const metric = (value: string) => `0800 0600 ${value}000000`;
  const device = '0800 0400 06000000';
  const dhcp = buffer('02 00 00 00 fe 10 00 01 00000000', table, metric('64'), '0800 0500 c0a80001', device);
  // ip route add default metric 80 nexthop via 172.18.0.1 dev eth1 nexthop via inet6 fe80::2 dev egress0
  const several = buffer(
    '02 00 00 00 fe 03 00 01 00000000',
    table,
    metric('50'),
    '3200 0900',
    '1000 00 00 06000000 0800 0500 ac120001',
    '2000 00 00 14000000 1600 1200 0a00 fe800000000000000000000000000002 0000',
    '0000',
  );

  test('is the one with the lowest metric, and of several next hops the first', async () => {
    assert.deepEqual(await defaultRoute(kernel(dhcp), 4), { deviceIndex: 6, via: '192.168.0.1' });
    assert.deepEqual(await defaultRoute(kernel(dhcp, several), 4), { deviceIndex: 6, via: '172.18.0.1' });
  });

  test('is a next hop that is alive: neither dead nor with a link that is down', async () => {
    const isOf = (flags: readonly [string, string], metric = '50') =>
      buffer(
        '02 00 00 00 fe 03 00 01 00000000',
        `0800 0f00 fe000000 0800 0600 ${metric}000000 2400 0900`,
        `1000 ${flags[0]} 00 06000000 0800 0500 c0a80101`,
        `1000 ${flags[1]} 00 07000000 0800 0500 c0a80201`,
      );
    const second = { deviceIndex: 7, via: '192.168.2.1' };
    assert.deepEqual(await defaultRoute(kernel(isOf(['11', '00'])), 4), second); // ip link set up1 down
    assert.deepEqual(await defaultRoute(kernel(isOf(['10', '00'])), 4), second); // no carrier
    assert.deepEqual(await defaultRoute(kernel(isOf(['00', '00'])), 4, 7), second);
    assert.deepEqual(await defaultRoute(kernel(isOf(['00', '11'])), 4, 7), { deviceIndex: 6, via: '192.168.1.1' });
    assert.deepEqual(await defaultRoute(kernel(isOf(['11', '11']), isOf(['11', '04'], '64')), 4), {
      ...second,
      onlink: true,
    });
    // all dead: the one that the administrator prefers, of whose interface the error speaks
    assert.deepEqual(await defaultRoute(kernel(isOf(['11', '11'])), 4), { deviceIndex: 6, via: '192.168.1.1' });
  });

  test('has the flags of its only next hop in its own', async () => {
    const isOf = (flags: string, metric: string) =>
      buffer(`02 00 00 00 fe 03 00 01 ${flags}000000`, table, `0800 0600 ${metric}000000 0800 0500 ac1f0101`, device);
    const hop = { deviceIndex: 6, via: '172.31.1.1' };
    assert.deepEqual(await defaultRoute(kernel(isOf('04', '50')), 4), { ...hop, onlink: true });
    assert.deepEqual(await defaultRoute(kernel(isOf('10', '20'), isOf('04', '50')), 4), { ...hop, onlink: true });
  });

  test('has metric 0 when the kernel says none', async () => {
    const onLink = buffer('02 00 00 00 fe 03 fd 01 00000000', table, '0800 0400 07000000');
    assert.deepEqual(await defaultRoute(kernel(several, onLink, dhcp), 4), { deviceIndex: 7 });
  });

  test('is none that leads nowhere, elsewhere, or not everybody', async () => {
    const unreachable = buffer('02 00 00 00 fe 03 00 07 00000000', table, metric('01'));
    const network = buffer('02 10 00 00 fe 03 00 01 00000000', table, '0800 0100 ac120000', device);
    const other = buffer('02 00 00 00 fc 03 00 01 00000000', '0800 0f00 27a10700', device);
    const bySource = buffer('0a 00 40 00 fe 03 00 01 00000000', table, device);
    assert.equal(await defaultRoute(kernel(unreachable, network, other, bySource), 4), undefined);
  });

  test('is asked for by an address that nobody has, and nothing is listed when that tells it', async () => {
    const answering = (request: () => Promise<Reply[]>) => ({ request }) as unknown as NetlinkSocket;
    assert.deepEqual(
      await defaultRoute(
        answering(async () => replies([dhcp])),
        4,
      ),
      { deviceIndex: 6, via: '192.168.0.1' },
    );
    const none = answering(() => Promise.reject(new KernelError(101, 0, '')));
    assert.equal(await defaultRoute(none, 6), undefined);
  });
});
