import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import type { PolicyRule, Route } from '../../src/datapath/objects.ts';
import { isKernelError, NetlinkSocket, protocols } from '../../src/kernel/netlink/socket.ts';
import { listAddresses } from '../../src/kernel/rtnetlink/address.ts';
import { readLink, setLinkDown } from '../../src/kernel/rtnetlink/link.ts';
import { readNeighbour } from '../../src/kernel/rtnetlink/neighbour.ts';
import { deleteRoute, listRoutes, replaceRoute } from '../../src/kernel/rtnetlink/route.ts';
import { lookupRoute } from '../../src/kernel/rtnetlink/route-lookup.ts';
import { addRule, deleteRule, listRules } from '../../src/kernel/rtnetlink/rule.ts';
import { readSysctl, writeSysctl } from '../../src/kernel/sysctl.ts';
import { hangsAfterMs } from '../support/guard.ts';

// The whole file runs in a network namespace of its own, which ends with the process, and the process with us: there is
// nothing to clean up.
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

/** `ip`, the witness: what it prints, without spaces at the ends of lines. */
const ip = (command: string) => execFileSync('ip', command.split(' '), { encoding: 'utf8' }).replace(/\s+$/gm, '');

const device = 6;
ip('link set lo up');
ip(`link add index ${device} name eth1 type veth peer name other`);
ip('link set other up');
ip('link set eth1 up');
ip('address add 192.168.0.2/24 dev eth1');
ip('address add fd00::2/64 dev eth1 nodad');

async function withSocket(run: (socket: NetlinkSocket) => Promise<void>): Promise<void> {
  const socket = new NetlinkSocket(protocols.route);
  try {
    await run(socket);
  } finally {
    socket.close();
  }
}

describe('rules', () => {
  for (const family of [4, 6] as const) {
    const pass: PolicyRule = {
      kind: 'rule',
      family,
      priority: 700,
      action: { goto: 702 },
      fwmark: { value: 0x100000, mask: 0x100000 },
      invert: true,
    };
    const lookup: PolicyRule = {
      kind: 'rule',
      family,
      priority: 701,
      action: { lookup: 500007 },
      fwmark: { value: 0x100007, mask: 0x103fff },
    };
    const end: PolicyRule = { kind: 'rule', family, priority: 702, action: 'nop' };
    const shown = () => ip(`-${family} rule`).split('\n');
    const ours = async (socket: NetlinkSocket) =>
      (await listRules(socket, family)).filter(({ protocol }) => protocol === undefined);

    test(`IPv${family}: rules come, are listed and go as ip shows them`, () =>
      withSocket(async (socket) => {
        const before = shown();
        for (const rule of [pass, lookup, end]) await addRule(socket, rule);
        assert.deepEqual(
          shown().filter((line) => !before.includes(line)),
          [
            '700:\tnot from all fwmark 0x100000/0x100000 goto 702 proto 230',
            '701:\tfrom all fwmark 0x100007/0x103fff lookup 500007 proto 230',
            '702:\tfrom all nop proto 230',
          ],
        );
        const marked = [pass, lookup, end];
        assert.deepEqual(await ours(socket), marked);
        for (const rule of [pass, lookup, end]) await deleteRule(socket, rule);
        assert.deepEqual(shown(), before);
      }));

    test(`IPv${family}: a rule that is there is added again, and one that is gone deleted again, without an error`, () =>
      withSocket(async (socket) => {
        for (let times = 0; times < 2; times++) await addRule(socket, lookup);
        assert.equal((await ours(socket)).length, 1);
        for (let times = 0; times < 2; times++) await deleteRule(socket, lookup);
        assert.deepEqual(await ours(socket), []);
      }));

    test(`IPv${family}: a rule that the kernel takes for the same, but is another, is an error`, () =>
      withSocket(async (socket) => {
        await addRule(socket, pass);
        const other = { ...pass, action: { goto: 703 } };
        await assert.rejects(addRule(socket, other), (error) => isKernelError(error, 'EEXIST'));
        await deleteRule(socket, pass);
      }));

    test(`IPv${family}: the same rule of somebody else is listed, and stays`, () =>
      withSocket(async (socket) => {
        const theirs = 'pref 701 fwmark 0x100007/0x103fff lookup 500007 protocol 99';
        ip(`-${family} rule add ${theirs}`);
        await addRule(socket, lookup);
        const both = (await listRules(socket, family)).filter(({ priority }) => priority === 701);
        assert.deepEqual(both, [{ ...lookup, protocol: 99 }, lookup]);
        await deleteRule(socket, lookup);
        await deleteRule(socket, lookup);
        assert.equal((await listRules(socket, family)).filter(({ priority }) => priority === 701).length, 1);
        ip(`-${family} rule del ${theirs}`);
      }));
  }
});

describe('routes', () => {
  const nextHops = { 4: ['192.168.0.1', '192.168.0.9'], 6: ['fd00::1', 'fd00::9'] } as const;
  for (const family of [4, 6] as const) {
    const table = 500007;
    const [first, second] = nextHops[family];
    const via: Route = { kind: 'route', family, table, type: 'unicast', device: 'eth1', via: first, metric: 100 };
    const viaSecond: Route = { ...via, via: second };
    const direct: Route = { kind: 'route', family, table, type: 'unicast', device: 'eth1', metric: 100 };
    const unreachable: Route = { kind: 'route', family, table, type: 'unreachable', metric: 4294967295 };
    const shown = () => {
      const { status, stdout } = spawnSync('ip', [`-${family}`, 'route', 'show', 'table', `${table}`]);
      return status === 0
        ? `${stdout}`
            .split('\n')
            .map((line) => line.trim())
            .filter((line) => line !== '')
        : [];
    };

    test(`IPv${family}: routes come, are listed and go as ip shows them`, () =>
      withSocket(async (socket) => {
        await replaceRoute(socket, via, device);
        await replaceRoute(socket, unreachable);
        assert.deepEqual(
          shown().map((line) => line.replace(/ (dev lo|pref medium)/g, '')),
          [`default via ${first} dev eth1 proto 230 metric 100`, 'unreachable default proto 230 metric 4294967295'],
        );
        assert.deepEqual(await listRoutes(socket, family, table), [via, unreachable]);
        await deleteRoute(socket, via, device);
        await deleteRoute(socket, unreachable);
        assert.deepEqual(shown(), []);
      }));

    test(`IPv${family}: a new next hop takes the place of the old one`, () =>
      withSocket(async (socket) => {
        for (const route of [via, viaSecond, direct, via]) {
          await replaceRoute(socket, route, device);
          assert.deepEqual(await listRoutes(socket, family, table), [route]);
        }
        await deleteRoute(socket, via, device);
      }));

    test(`IPv${family}: a route is made again, and one that is gone deleted again, without an error`, () =>
      withSocket(async (socket) => {
        for (let times = 0; times < 2; times++) await replaceRoute(socket, direct, device);
        assert.equal(shown().length, 1);
        for (let times = 0; times < 2; times++) await deleteRoute(socket, direct, device);
        assert.deepEqual(await listRoutes(socket, family, table), []);
      }));

    test(`IPv${family}: a route of somebody else is neither listed nor deleted`, () =>
      withSocket(async (socket) => {
        ip(`-${family} route add default via ${first} dev eth1 metric 100 table ${table} protocol 99`);
        assert.deepEqual(await listRoutes(socket, family, table), []);
        await deleteRoute(socket, via, device);
        assert.equal(shown().length, 1);
        ip(`-${family} route flush table ${table}`);
      }));

    test(`IPv${family}: a table that nobody has made holds no routes`, () =>
      withSocket(async (socket) => assert.deepEqual(await listRoutes(socket, family, 499999), [])));

    test(`IPv${family}: a lookup follows the rule for a mark`, () =>
      withSocket(async (socket) => {
        const destination = { 4: '203.0.113.5', 6: '2001:db8::5' }[family];
        const source = { 4: '192.168.0.2', 6: 'fd00::2' }[family];
        const rule: PolicyRule = {
          kind: 'rule',
          family,
          priority: 701,
          action: { lookup: table },
          fwmark: { value: 0x100007, mask: 0x103fff },
        };
        await addRule(socket, rule);
        await replaceRoute(socket, unreachable);
        assert.deepEqual(await lookupRoute(socket, destination, 0x100007), { type: 'unreachable' });
        await replaceRoute(socket, via, device);
        const found = { type: 'unicast', deviceIndex: device, via: first, table, source };
        assert.deepEqual(await lookupRoute(socket, destination, 0x100007), found);
        assert.equal(await lookupRoute(socket, destination), undefined);
        assert.equal((await lookupRoute(socket, source))?.type, 'local');
        await deleteRule(socket, rule);
        ip(`-${family} route flush table ${table}`);
      }));
  }

  test('a next hop that is not on the link is an error in the kernel’s own words', () =>
    withSocket(async (socket) => {
      const route: Route = {
        kind: 'route',
        family: 4,
        table: 500007,
        type: 'unicast',
        device: 'eth1',
        via: '10.99.0.1',
        metric: 1,
      };
      await assert.rejects(replaceRoute(socket, route, device), {
        message: 'ENETUNREACH: Nexthop has invalid gateway',
      });
    }));
});

describe('links', () => {
  test('a link is read by name and by index', () =>
    withSocket(async (socket) => {
      const { mac = '', ...link } = (await readLink(socket, 'eth1')) ?? {};
      assert.deepEqual(link, { index: device, name: 'eth1', up: true, type: 'veth', mtu: 1500 });
      assert.match(ip('-json link show eth1'), new RegExp(`"address":"${mac}"`));
      assert.deepEqual(await readLink(socket, device), { ...link, mac });
      assert.deepEqual(await readLink(socket, 'lo'), {
        index: 1,
        name: 'lo',
        up: true,
        mtu: 65536,
        mac: '00:00:00:00:00:00',
      });
    }));

  test('a link that is not there is undefined', () =>
    withSocket(async (socket) => {
      assert.equal(await readLink(socket, 'none'), undefined);
      assert.equal(await readLink(socket, 4711), undefined);
    }));

  test('a link is set down, and one that is gone without an error', () =>
    withSocket(async (socket) => {
      ip('link add index 20 name spare type veth peer name spare-other');
      ip('link set spare up');
      await setLinkDown(socket, 20);
      assert.equal((await readLink(socket, 20))?.up, false);
      assert.doesNotMatch(ip('-o link show spare'), /[<,]UP[,>]/);
      ip('link del spare');
      await setLinkDown(socket, 20);
    }));
});

describe('addresses', () => {
  const foreign = { deviceIndex: device, ours: false };

  test('the addresses of one link are listed, IPv4 first', () =>
    withSocket(async (socket) => {
      const global = (await listAddresses(socket, device)).filter(({ scope }) => scope === 0);
      assert.deepEqual(global, [
        { address: '192.168.0.2', prefixLength: 24, scope: 0, family: 4, usable: true, ...foreign },
        { address: 'fd00::2', prefixLength: 64, scope: 0, family: 6, usable: true, ...foreign },
      ]);
    }));

  test('a deprecated address is not usable', () =>
    withSocket(async (socket) => {
      ip('address add fd00::3/64 dev eth1 nodad preferred_lft 0');
      const found = (await listAddresses(socket, device)).find(({ address }) => address === 'fd00::3');
      ip('address del fd00::3/64 dev eth1');
      assert.equal(found?.usable, false);
    }));

  test('an address with a peer is the link’s own, not the peer’s', () =>
    withSocket(async (socket) => {
      ip('address add 10.1.0.1 peer 10.1.0.2/32 dev eth1');
      const found = (await listAddresses(socket, device)).find(({ address }) => address.startsWith('10.1.'));
      ip('address del 10.1.0.1 peer 10.1.0.2/32 dev eth1');
      assert.deepEqual(found, { address: '10.1.0.1', prefixLength: 32, scope: 0, family: 4, usable: true, ...foreign });
    }));

  test('a link that is gone has none', () =>
    withSocket(async (socket) => assert.deepEqual(await listAddresses(socket, 4711), [])));
});

describe('neighbours', () => {
  for (const neighbour of ['192.168.0.1', 'fd00::1']) {
    test(`the state and the hardware address of ${neighbour} are told; nothing of one that nobody has asked for`, () =>
      withSocket(async (socket) => {
        assert.equal(await readNeighbour(socket, device, neighbour), undefined);
        const mac = '02:00:00:00:00:01';
        ip(`neigh add ${neighbour} lladdr ${mac} dev eth1 nud stale`);
        assert.deepEqual(await readNeighbour(socket, device, neighbour), { state: 'stale', mac });
        ip(`neigh replace ${neighbour} lladdr ${mac} dev eth1 nud permanent`);
        assert.deepEqual(await readNeighbour(socket, device, neighbour), { state: 'permanent', mac });
        ip(`neigh del ${neighbour} dev eth1`);
      }));
  }

  test('a neighbour on a link that is gone is unknown', () =>
    withSocket(async (socket) => assert.equal(await readNeighbour(socket, 4711, '192.168.0.1'), undefined)));
});

describe('kernel parameters', () => {
  test('one of an interface with a dot in its name is written and read', () => {
    ip('link add eth1.100 type veth peer name eth2.100');
    const name = 'net/ipv4/conf/eth1.100/rp_filter';
    assert.equal(writeSysctl(name, '2'), true);
    assert.equal(readSysctl(name), '2');
    assert.equal(execFileSync('cat', [`/proc/sys/${name}`], { encoding: 'utf8' }), '2\n');
    ip('link del eth1.100');
    assert.equal(readSysctl(name), undefined);
    assert.equal(writeSysctl(name, '2'), false);
  });

  test('one that the kernel does not have is neither read nor written', () => {
    assert.equal(readSysctl('net/ipv4/conf/all/none'), undefined);
    assert.equal(writeSysctl('net/ipv4/conf/all/none', '1'), false);
  });

  test('a value that the kernel refuses is an error', () => {
    assert.throws(() => writeSysctl('net/ipv4/conf/all/rp_filter', 'x'), { code: 'EINVAL' });
  });
});
