import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { afterEach, describe, test } from 'node:test';
import type {
  Forwarding,
  InterfaceAddress,
  Neighbour,
  OutsideObject,
  Route,
  TunnelLink,
} from '../../src/datapath/objects.ts';
import { applyOutside, removeOutside } from '../../src/kernel/apply.ts';
import { NetlinkSocket, protocols, type Request } from '../../src/kernel/netlink/socket.ts';
import {
  addAddress,
  deleteAddress,
  findOurAddresses,
  listAllAddresses,
  listOurAddresses,
} from '../../src/kernel/rtnetlink/address.ts';
import { defaultRoute } from '../../src/kernel/rtnetlink/default-route.ts';
import { deleteForwarding, listForwardings, setForwarding } from '../../src/kernel/rtnetlink/forwarding.ts';
import { deleteNeighbour, listNeighbours, setNeighbour } from '../../src/kernel/rtnetlink/neighbour.ts';
import { deleteRoute, listRoutes, replaceRoute } from '../../src/kernel/rtnetlink/route.ts';
import { deleteTunnel, readTunnel, setTunnel } from '../../src/kernel/rtnetlink/tunnel.ts';
import { readSysctl } from '../../src/kernel/sysctl.ts';
import { hangsAfterMs } from '../support/guard.ts';

// In a network namespace of its own, as rtnetlink.test.ts.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const { status } = spawnSync('setpriv', command, {
    env,
    stdio: 'inherit',
    timeout: hangsAfterMs,
    killSignal: 'SIGKILL',
  });
  process.exit(status ?? 1);
}

const run = (tool: string, command: string) => execFileSync(tool, command.split(' '), { encoding: 'utf8' });
/** `ip` and `bridge`, the witnesses: the lines they print, without spaces at the ends. */
const linesOf = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
const ip = (command: string) => linesOf(run('ip', command));
const bridge = (command: string) => linesOf(run('bridge', command));
/** What `ip` says of an interface, at the places that matter to us. */
const shown = (name: string) => JSON.parse(run('ip', `-d -j link show ${name}`))[0];

const underlay = 6;
ip('link set lo up');
ip(`link add index ${underlay} name eth0 type veth peer name other`);
ip('link set other up');
ip('link set eth0 up');
ip('address add 172.18.0.5/16 dev eth0');
ip('address add fd00::5/64 dev eth0 nodad');

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
const tunnel6: TunnelLink = { ...tunnel, local: 'fd00::5', mtu: 1430 };

async function withSocket(use: (socket: NetlinkSocket) => Promise<void>): Promise<void> {
  const socket = new NetlinkSocket(protocols.route);
  try {
    await use(socket);
  } finally {
    socket.close();
  }
}

/** With a tunnel that is there, and its index. */
const withTunnel = (tunnel: TunnelLink, use: (socket: NetlinkSocket, index: number) => Promise<void>) =>
  withSocket(async (socket) => {
    await setTunnel(socket, tunnel);
    await use(socket, shown('egress0').ifindex);
  });

afterEach(() => {
  spawnSync('ip', ['link', 'del', 'egress0']);
  for (const family of ['-4', '-6']) spawnSync('ip', [family, 'route', 'flush', 'table', '500007']);
});

describe('the tunnel device', () => {
  for (const [underlay, wanted] of Object.entries({ IPv4: tunnel, IPv6: tunnel6 })) {
    test(`over ${underlay} comes as ip shows it, is read as it was set, and goes`, () =>
      withSocket(async (socket) => {
        assert.equal(await readTunnel(socket, 'egress0'), undefined);
        await setTunnel(socket, wanted);
        const { group, mtu, address, flags, inet6_addr_gen_mode, linkinfo } = shown('egress0');
        assert.deepEqual(
          { group, mtu, address, inet6_addr_gen_mode },
          { group: '230', mtu: wanted.mtu, address: wanted.mac, inet6_addr_gen_mode: 'none' },
        );
        const { id, port, learning, gbp, local, local6, remote, remote6, group6 } = linkinfo.info_data;
        assert.equal(linkinfo.info_kind, 'vxlan');
        assert.deepEqual({ id, port, learning }, { id: 14597, port: 4788, learning: false });
        assert.notEqual(gbp, undefined); // true, or null where a newer ip says it
        assert.equal(local ?? local6, wanted.local);
        assert.deepEqual([remote, remote6, linkinfo.info_data.group, group6], Array(4).fill(undefined));
        assert.ok(flags.includes('UP'));
        assert.deepEqual(ip('-6 address show dev egress0'), []);
        assert.deepEqual(await readTunnel(socket, 'egress0'), wanted);
        for (let times = 0; times < 2; times++) await deleteTunnel(socket, 'egress0');
        assert.equal(await readTunnel(socket, 'egress0'), undefined);
        assert.notEqual(spawnSync('ip', ['link', 'show', 'egress0']).status, 0);
      }));
  }

  test('is read as it was set in all that can differ', () =>
    withSocket(async (socket) => {
      const other = { ...tunnel, vni: 16777215, port: 65535, groupPolicy: false, learning: true, up: false };
      await setTunnel(socket, other);
      assert.deepEqual(await readTunnel(socket, 'egress0'), other);
    }));

  test('that is as it should be is looked at, and nothing else', () =>
    withTunnel(tunnel, async (socket) => {
      const types: number[] = [];
      const request = (asked: Request) => {
        types.push(asked.type);
        return socket.request(asked);
      };
      await setTunnel({ request } as unknown as NetlinkSocket, tunnel);
      assert.deepEqual(types, [18], 'RTM_GETLINK');
    }));

  test('comes up when it is down, as the device it is, without an IPv6 address', () =>
    withTunnel(tunnel, async (socket, index) => {
      ip('link set egress0 down');
      ip('link set egress0 addrgenmode eui64');
      assert.deepEqual(await readTunnel(socket, 'egress0'), { ...tunnel, up: false });
      await setTunnel(socket, tunnel);
      assert.deepEqual(await readTunnel(socket, 'egress0'), tunnel);
      assert.equal(shown('egress0').ifindex, index);
      assert.deepEqual(ip('-6 address show dev egress0'), []);
    }));

  test('gets another MTU and MAC address as it runs', () =>
    withTunnel(tunnel, async (socket, index) => {
      const changed = { ...tunnel, mtu: 1400, mac: '02:e6:00:00:00:01' };
      await setTunnel(socket, changed);
      assert.deepEqual(await readTunnel(socket, 'egress0'), changed);
      assert.equal(shown('egress0').ifindex, index);
    }));

  test('may have an MTU that is too small for IPv6', () =>
    withTunnel({ ...tunnel, mtu: 1200 }, async (socket) => {
      assert.deepEqual(await readTunnel(socket, 'egress0'), { ...tunnel, mtu: 1200 });
    }));

  for (const difference of [
    { vni: 14598 },
    { port: 4787 },
    { local: 'fd00::5' },
    { groupPolicy: false },
    { learning: true },
  ]) {
    test(`is made anew for another ${Object.keys(difference)}`, () =>
      withTunnel(tunnel, async (socket, index) => {
        const changed = { ...tunnel, ...difference };
        await setTunnel(socket, changed);
        assert.deepEqual(await readTunnel(socket, 'egress0'), changed);
        assert.notEqual(shown('egress0').ifindex, index);
      }));
  }

  const foreign = {
    'a veth': 'link add egress0 type veth peer name egress0-peer',
    'a bridge': 'link add egress0 type bridge',
    'VXLAN outside of our group': `link add egress0 type vxlan id ${tunnel.vni} dstport ${tunnel.port} local ${tunnel.local}`,
  };
  for (const [what, command] of Object.entries(foreign)) {
    test(`is refused where somebody else has ${what} of that name, which stays as it is`, () =>
      withSocket(async (socket) => {
        ip(command);
        const before = shown('egress0');
        assert.equal(await readTunnel(socket, 'egress0'), undefined);
        await assert.rejects(setTunnel(socket, tunnel), { name: 'EgressError', code: 'tunnel-device' });
        await deleteTunnel(socket, 'egress0');
        assert.deepEqual(shown('egress0'), before);
      }));
  }

  test('is not somebody else’s device of another kind that is in our group', () =>
    withSocket(async (socket) => {
      ip('link add egress0 type bridge');
      ip('link set egress0 group 230');
      await assert.rejects(setTunnel(socket, tunnel), { code: 'tunnel-device' });
      assert.equal(shown('egress0').linkinfo.info_kind, 'bridge');
    }));

  test('whose VNI and port another device has is refused in the kernel’s own words, and nothing is left', () =>
    withSocket(async (socket) => {
      ip(`link add taken type vxlan id ${tunnel.vni} dstport ${tunnel.port} gbp`);
      await assert.rejects(setTunnel(socket, tunnel), {
        message: 'EEXIST: A VXLAN device with the specified VNI already exists',
      });
      assert.notEqual(spawnSync('ip', ['link', 'show', 'egress0']).status, 0);
      ip('link del taken');
    }));
});

describe('addresses', () => {
  const own: InterfaceAddress = {
    kind: 'address',
    device: 'egress0',
    address: '192.0.0.8',
    prefixLength: 32,
    scope: 'link',
  };
  const egress4: InterfaceAddress = { ...own, device: 'eth0', address: '172.18.0.33', scope: 'global' };
  const egress6: InterfaceAddress = { ...egress4, address: 'fd00::33', prefixLength: 128 };
  const ours = [own, egress4, egress6];
  const both = [{ device: 'egress0' }, { device: 'eth0', address: egress4.address }];

  test('of ours come, are listed whatever their interface, and go, as often as one likes', () =>
    withTunnel(tunnel, async (socket, index) => {
      // Whether the link-local address is unique yet is the kernel's own matter.
      const shown = () => ip('-o address show dev eth0').map((line) => line.replace(' tentative', ''));
      const before = shown();
      const indexes: Record<string, number> = { egress0: index, eth0: underlay };
      for (const address of [...ours, ...ours]) await addAddress(socket, address, indexes[address.device] ?? 0);
      const byAddress = (a: InterfaceAddress, b: InterfaceAddress) => (a.address < b.address ? -1 : 1);
      for (const listed of [await findOurAddresses(socket), await listOurAddresses(socket, both)])
        assert.deepEqual([...listed].sort(byAddress), [...ours].sort(byAddress));
      assert.deepEqual(await listOurAddresses(socket, [{ device: 'egress0' }, { device: 'eth7' }]), [own]);
      const added = ip('-o address show').map((line) =>
        line
          .replace(/\\.*/, '')
          .replace(/ proto 0xe6/, '')
          .replace(/ +/g, ' ')
          .trim(),
      );
      for (const line of [
        `${index}: egress0 inet 192.0.0.8/32 scope link egress0`,
        `${underlay}: eth0 inet 172.18.0.33/32 scope global eth0`,
        `${underlay}: eth0 inet6 fd00::33/128 scope global nodad deprecated`,
      ]) {
        assert.ok(added.includes(line), `${line}\n${added.join('\n')}`);
      }
      assert.match(run('ip', '-6 address show dev eth0 to fd00::33'), /valid_lft forever preferred_lft 0sec/);
      for (const address of [...ours, ...ours]) await deleteAddress(socket, address, indexes[address.device] ?? 0);
      assert.deepEqual(await findOurAddresses(socket), []);
      assert.deepEqual(shown(), before);
    }));

  test('that somebody else gave stay his when we add them', () =>
    withSocket(async (socket) => {
      for (const address of [egress4, egress6]) {
        const { address: text, prefixLength } = address;
        ip(`address add ${text}/${prefixLength} dev eth0`);
        await addAddress(socket, address, underlay);
        assert.deepEqual(await findOurAddresses(socket), []);
        ip(`address del ${text}/${prefixLength} dev eth0`);
      }
    }));

  test('go with their interface, which is no error', () => withSocket((socket) => deleteAddress(socket, own, 4711)));

  test('of all interfaces are listed, IPv4 first', () =>
    withSocket(async (socket) => {
      const listed = await listAllAddresses(socket);
      const told = ['127.0.0.1', '172.18.0.5', '::1', 'fd00::5'];
      assert.deepEqual(
        listed.filter(({ address }) => told.includes(address)).map((a) => [a.address, a.deviceIndex, a.family]),
        [
          ['127.0.0.1', 1, 4],
          ['172.18.0.5', underlay, 4],
          ['::1', 1, 6],
          ['fd00::5', underlay, 6],
        ],
      );
    }));
});

describe('neighbours', () => {
  const over4: Neighbour = { kind: 'neighbour', device: 'egress0', address: '172.18.0.3', mac: '02:e6:ac:12:00:03' };
  const over6: Neighbour = { ...over4, address: 'fe80::e6:acff:fe12:3' };

  test('come, are listed and go as ip shows them, as often as one likes', () =>
    withTunnel(tunnel, async (socket, index) => {
      const list = () => listNeighbours(socket, 'egress0', index);
      for (const neighbour of [over4, over6, over4, over6]) await setNeighbour(socket, neighbour, index);
      assert.deepEqual(await list(), [over4, over6]);
      assert.deepEqual(
        [...ip('-4 neigh show dev egress0'), ...ip('-6 neigh show dev egress0')],
        ['172.18.0.3 lladdr 02:e6:ac:12:00:03 PERMANENT', 'fe80::e6:acff:fe12:3 lladdr 02:e6:ac:12:00:03 PERMANENT'],
      );
      await setNeighbour(socket, { ...over4, mac: '02:e6:00:00:00:01' }, index);
      assert.deepEqual(await list(), [{ ...over4, mac: '02:e6:00:00:00:01' }, over6]);
      for (const neighbour of [over4, over6, over4, over6]) await deleteNeighbour(socket, neighbour, index);
      assert.deepEqual(await list(), []);
      assert.deepEqual(ip('neigh show dev egress0'), []);
    }));

  test('that were learned, and those on other interfaces, are not listed', () =>
    withTunnel(tunnel, async (socket, index) => {
      ip('neigh add 172.18.0.4 lladdr 02:00:00:00:00:04 dev egress0 nud stale');
      ip('neigh add 172.18.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent');
      await setNeighbour(socket, over4, index);
      assert.deepEqual(await listNeighbours(socket, 'egress0', index), [over4]);
      ip('neigh del 172.18.0.9 dev eth0');
    }));

  test('on an interface that is gone are none, and deleted without an error', () =>
    withSocket(async (socket) => {
      assert.deepEqual(await listNeighbours(socket, 'egress0', 4711), []);
      await deleteNeighbour(socket, over4, 4711);
      await deleteNeighbour(socket, over6, 4711);
    }));
});

describe('forwarding entries', () => {
  const first: Forwarding = { kind: 'forwarding', device: 'egress0', mac: '02:e6:ac:12:00:03', remote: '172.18.0.3' };
  const second: Forwarding = { ...first, mac: '02:e6:ac:12:00:04', remote: '172.18.0.4' };
  const sorted = (list: readonly Forwarding[]) => [...list].sort((a, b) => (a.mac < b.mac ? -1 : 1));

  for (const [underlay, wanted, ends] of [
    ['IPv4', tunnel, ['172.18.0.3', '172.18.0.4']],
    ['IPv6', tunnel6, ['fd00::3', 'fd00::4']],
  ] as const) {
    test(`over ${underlay} come, are listed and go as bridge shows them, as often as one likes`, () =>
      withTunnel(wanted, async (socket, index) => {
        const list = async () => sorted(await listForwardings(socket, 'egress0', index));
        const both = [first, second].map((entry, i) => ({ ...entry, remote: ends[i] ?? '' }));
        for (const entry of [...both, ...both]) await setForwarding(socket, entry, index);
        assert.deepEqual(await list(), both);
        assert.deepEqual(
          bridge('fdb show dev egress0').sort(),
          both.map(({ mac, remote }) => `${mac} dst ${remote} self permanent`),
        );
        for (const entry of [...both, ...both]) await deleteForwarding(socket, entry, index);
        assert.deepEqual(await list(), []);
        assert.deepEqual(bridge('fdb show dev egress0'), []);
      }));
  }

  test('lead elsewhere when they are set again', () =>
    withTunnel(tunnel, async (socket, index) => {
      const moved = { ...first, remote: '172.18.0.7' };
      await setForwarding(socket, first, index);
      await setForwarding(socket, moved, index);
      assert.deepEqual(await listForwardings(socket, 'egress0', index), [moved]);
      await deleteForwarding(socket, first, index);
      assert.deepEqual(await listForwardings(socket, 'egress0', index), [moved], 'another entry is not deleted');
    }));

  test('of another device, and on one that is gone, are none', () =>
    withTunnel(tunnel, async (socket, index) => {
      ip('link add other0 type vxlan id 1 dstport 4787 nolearning');
      await setForwarding(socket, first, index);
      assert.deepEqual(await listForwardings(socket, 'other0', shown('other0').ifindex), []);
      assert.deepEqual(await listForwardings(socket, 'none', 4711), []);
      await deleteForwarding(socket, first, 4711);
      ip('link del other0');
    }));
});

describe('routes through the tunnel', () => {
  const table = 500007;
  const route = { kind: 'route', table, type: 'unicast', metric: 100 } as const;
  const hop6 = 'fe80::e6:acff:fe12:3';
  const cases: Record<string, Route> = {
    'to a next hop that no address makes reachable': {
      ...{ ...route, family: 4, device: 'egress0', via: '172.18.0.3', onlink: true },
    },
    'of IPv4 to a next hop of IPv6': { ...route, family: 4, device: 'egress0', via: hop6, onlink: true },
    'of IPv4 to a next hop of IPv6, not said to be on the link': {
      ...{ ...route, family: 4, device: 'egress0', via: hop6 },
    },
    'of IPv6': { ...route, family: 6, device: 'egress0', via: hop6, onlink: true },
    'of IPv6, not said to be on the link': { ...route, family: 6, device: 'egress0', via: hop6 },
    'for a network': {
      ...{ ...route, family: 4, destination: '10.0.0.0/24', device: 'egress0', via: '172.18.0.3', onlink: true },
    },
    'for a network of IPv6': {
      ...{ ...route, family: 6, destination: 'fd01::/64', device: 'egress0', via: hop6, onlink: true },
    },
    'for one address': { ...route, family: 4, destination: '10.0.0.7/32', device: 'egress0', via: hop6, onlink: true },
    'for a network on the link': { ...route, family: 4, destination: '172.18.0.0/16', device: 'eth0' },
    'for a network of IPv6 on the link': { ...route, family: 6, destination: 'fd00::/64', device: 'eth0' },
    'for a network that is not reachable': {
      ...{ kind: 'route', family: 4, table, destination: '10.0.0.0/8', type: 'unreachable', metric: 4294967295 },
    },
    'for a network of IPv6 that is not reachable': {
      ...{ kind: 'route', family: 6, table, destination: 'fd01::/16', type: 'unreachable', metric: 4294967295 },
    },
  };
  for (const [what, wanted] of Object.entries(cases)) {
    test(`${what} are listed as they were made, and go, as often as one likes`, () =>
      withTunnel(tunnel, async (socket, index) => {
        const device = wanted.device && { eth0: underlay, egress0: index }[wanted.device];
        for (let times = 0; times < 2; times++) await replaceRoute(socket, wanted, device || undefined);
        assert.deepEqual(await listRoutes(socket, wanted.family, table), [wanted]);
        for (let times = 0; times < 2; times++) await deleteRoute(socket, wanted, device || undefined);
        assert.deepEqual(await listRoutes(socket, wanted.family, table), []);
      }));
  }

  test('are those that ip shows', () =>
    withTunnel(tunnel, async (socket, index) => {
      const names = ['to a next hop that no address makes reachable', 'for a network on the link', 'for one address'];
      for (const name of names) {
        const wanted = cases[name] as Route;
        await replaceRoute(socket, wanted, wanted.device === 'eth0' ? underlay : index);
      }
      assert.deepEqual(ip(`route show table ${table}`), [
        'default via 172.18.0.3 dev egress0 proto 230 metric 100 onlink',
        `10.0.0.7 via inet6 ${hop6} dev egress0 proto 230 metric 100 onlink`,
        '172.18.0.0/16 dev eth0 proto 230 scope link metric 100',
      ]);
    }));

  test('leave routes for other destinations alone when they are deleted', () =>
    withTunnel(tunnel, async (socket, index) => {
      const { 'for a network': network, 'to a next hop that no address makes reachable': all } = cases;
      await replaceRoute(socket, network as Route, index);
      await replaceRoute(socket, all as Route, index);
      await deleteRoute(socket, all as Route, index);
      assert.deepEqual(await listRoutes(socket, 4, table), [network]);
    }));

  test('go with their device, which is no error', () =>
    withSocket(async (socket) => {
      for (const family of [4, 6] as const) {
        const rest: Route = { kind: 'route', family, table, type: 'unreachable', metric: 4294967295 };
        await replaceRoute(socket, rest);
        for (const gone of Object.values(cases)) {
          if (gone.family === family && gone.device === 'egress0') await deleteRoute(socket, gone, 4711);
        }
        assert.deepEqual(await listRoutes(socket, family, table), [rest]);
      }
    }));
});

describe('the default route', () => {
  test('of IPv4 is the one with the lowest metric, whoever made it', () =>
    withSocket(async (socket) => {
      assert.equal(await defaultRoute(socket, 4), undefined);
      ip('route add unreachable default metric 1');
      ip('route add default via 172.18.0.1 dev eth0 table 500009');
      assert.equal(await defaultRoute(socket, 4), undefined);
      ip('route add default via 172.18.0.1 dev eth0 metric 200 proto dhcp');
      assert.deepEqual(await defaultRoute(socket, 4), { deviceIndex: underlay, via: '172.18.0.1' });
      ip('route add default metric 100 nexthop via 172.18.0.2 dev eth0 nexthop via 172.18.0.1 dev eth0');
      assert.deepEqual(await defaultRoute(socket, 4), { deviceIndex: underlay, via: '172.18.0.2' });
      ip('-4 route add default via inet6 fe80::1 dev eth0 metric 50');
      assert.deepEqual(await defaultRoute(socket, 4), { deviceIndex: underlay, via: 'fe80::1' });
      ip('route add default dev eth0');
      assert.deepEqual(await defaultRoute(socket, 4), { deviceIndex: underlay });
      ip('route flush default');
    }));

  test('of IPv6 too', () =>
    withSocket(async (socket) => {
      assert.equal(await defaultRoute(socket, 6), undefined);
      ip('-6 route add unreachable default metric 1');
      assert.equal(await defaultRoute(socket, 6), undefined);
      ip('-6 route add default via fd00::1 dev eth0 metric 2000');
      assert.deepEqual(await defaultRoute(socket, 6), { deviceIndex: underlay, via: 'fd00::1' });
      ip('-6 route add default metric 1500 nexthop via fe80::2 dev eth0 nexthop via fe80::1 dev eth0');
      assert.deepEqual(await defaultRoute(socket, 6), { deviceIndex: underlay, via: 'fe80::2' });
      ip('-6 route flush default');
    }));
});

describe('what is not in nftables', () => {
  const device = 'egress0';
  const mac = '02:e6:ac:12:00:03';
  const table = 500007;
  const parameter = 'net/ipv4/conf/egress0/rp_filter';
  const onTunnel: readonly OutsideObject[] = [
    { kind: 'address', device, address: '172.18.0.5', prefixLength: 32, scope: 'link' },
    { kind: 'sysctl', name: parameter, value: '2' },
    { kind: 'neighbour', device, address: '172.18.0.3', mac },
    { kind: 'forwarding', device, mac, remote: '172.18.0.3' },
    { kind: 'route', family: 4, table, type: 'unicast', device, via: '172.18.0.3', onlink: true, metric: 100 },
  ];
  const unreachable: Route = { kind: 'route', family: 4, table, type: 'unreachable', metric: 4294967295 };
  const all: readonly OutsideObject[] = [tunnel, ...onTunnel, unreachable];

  test('is set up and taken down, as often as one likes', () =>
    withSocket(async (socket) => {
      for (let times = 0; times < 2; times++) await applyOutside(socket, all);
      const { ifindex } = shown(device);
      const observed: readonly unknown[] = [
        ...[(await readTunnel(socket, device)) ?? unreachable],
        ...(await findOurAddresses(socket)),
        { kind: 'sysctl', name: parameter, value: readSysctl(parameter) ?? '' },
        ...(await listNeighbours(socket, device, ifindex)),
        ...(await listForwardings(socket, device, ifindex)),
        ...(await listRoutes(socket, 4, table)),
      ];
      assert.deepEqual(observed, all);
      for (let times = 0; times < 2; times++) await removeOutside(socket, [...all].reverse());
      assert.deepEqual(await listRoutes(socket, 4, table), []);
      assert.equal(await readTunnel(socket, device), undefined);
    }));

  test('is taken down from a tunnel that stays', () =>
    withSocket(async (socket) => {
      await applyOutside(socket, all);
      const { ifindex } = shown(device);
      await removeOutside(
        socket,
        onTunnel.filter(({ kind }) => kind !== 'sysctl'),
      );
      assert.deepEqual(await findOurAddresses(socket), []);
      assert.deepEqual(await listNeighbours(socket, device, ifindex), []);
      assert.deepEqual(await listForwardings(socket, device, ifindex), []);
      assert.deepEqual(await listRoutes(socket, 4, table), [unreachable]);
      await removeOutside(socket, [unreachable]);
    }));

  test('is gone with the tunnel, which is no error', () =>
    withSocket(async (socket) => {
      await applyOutside(socket, all);
      await removeOutside(socket, [tunnel, ...onTunnel, unreachable]);
      assert.deepEqual(await listRoutes(socket, 4, table), []);
    }));

  test('is refused where there is no device for it, with its name', () =>
    withSocket(async (socket) => {
      for (const object of onTunnel.filter(({ kind }) => kind !== 'sysctl' && kind !== 'route')) {
        await assert.rejects(applyOutside(socket, [object]), { code: 'kernel-refused', message: /egress0$/ });
      }
    }));
});
