import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicyRule, Route } from '../../../src/datapath/objects.ts';
import type { NetlinkSocket, Reply } from '../../../src/kernel/netlink/socket.ts';
import { decodeAddress, encodeAddressListing, listAddresses } from '../../../src/kernel/rtnetlink/address.ts';
import { decodeLink, encodeLinkDown, encodeLinkQuery } from '../../../src/kernel/rtnetlink/link.ts';
import { decodeNeighbour, encodeNeighbourQuery } from '../../../src/kernel/rtnetlink/neighbour.ts';
import { encodeRoute, encodeRouteListing, listRoutes } from '../../../src/kernel/rtnetlink/route.ts';
import { decodeLookup, encodeLookup } from '../../../src/kernel/rtnetlink/route-lookup.ts';
import { decodeRule, encodeRule } from '../../../src/kernel/rtnetlink/rule.ts';

// Bytes that `ip` and the kernel exchanged (strace -e trace=sendmsg,recvmsg -e write=3 -e read=3 ip …), without the
// netlink header: the struct of the message, then an attribute a piece. eth1 has the index 6.
const bytes = (...pieces: readonly string[]) => pieces.join('').replaceAll(' ', '');
const buffer = (...pieces: readonly string[]) => Buffer.from(bytes(...pieces), 'hex');

const rule = { kind: 'rule', family: 4 } as const;
const pass: PolicyRule = {
  ...rule,
  priority: 700,
  action: { goto: 702 },
  fwmark: { value: 0x100000, mask: 0x100000 },
  invert: true,
};
const lookup: PolicyRule = {
  ...rule,
  priority: 701,
  action: { lookup: 500007 },
  fwmark: { value: 0x100007, mask: 0x103fff },
};
const end: PolicyRule = { kind: 'rule', family: 6, priority: 702, action: 'nop' };

describe('the bytes of a rule are those of ip', () => {
  // ip rule add pref 700 not fwmark 0x100000/0x100000 goto 702 protocol 230
  test('goto', () => {
    assert.equal(
      encodeRule(pass).toString('hex'),
      bytes(
        '02 00 00 00 00 00 00 02 02000000',
        '0800 0600 bc020000', // priority
        '0800 0a00 00001000', // fwmark
        '0800 1000 00001000', // fwmask
        '0800 0400 be020000', // goto
        '0500 1500 e6000000', // protocol
      ),
    );
  });

  // ip rule add pref 701 fwmark 0x100007/0x103fff lookup 500007 protocol 230
  test('lookup', () => {
    assert.equal(
      encodeRule(lookup).toString('hex'),
      bytes(
        '02 00 00 00 00 00 00 01 00000000',
        '0800 0600 bd020000',
        '0800 0a00 07001000',
        '0800 1000 ff3f1000',
        '0800 0f00 27a10700', // table
        '0500 1500 e6000000',
      ),
    );
  });

  // ip -6 rule add pref 702 nop protocol 230
  test('nop', () => {
    assert.equal(
      encodeRule(end).toString('hex'),
      bytes('0a 00 00 00 00 00 00 03 00000000', '0800 0600 be020000', '0500 1500 e6000000'),
    );
  });
});

// ip rule show
describe('a rule of a listing is decoded', () => {
  const listed = {
    goto: buffer(
      '02 00 00 00 00 00 00 02 02000000',
      '0800 0f00 00000000',
      '0800 0e00 ffffffff', // no suppressed prefix length
      '0500 1500 e6000000',
      '0800 0600 bc020000',
      '0800 0a00 00001000',
      '0800 1000 00001000',
      '0800 0400 be020000',
    ),
    lookup: buffer(
      '02 00 00 00 fc 00 00 01 00000000',
      '0800 0f00 27a10700',
      '0800 0e00 ffffffff',
      '0500 1500 e6000000',
      '0800 0600 bd020000',
      '0800 0a00 07001000',
      '0800 1000 ff3f1000',
    ),
    local: buffer('02 00 00 00 ff 00 00 01 00000000', '0800 0f00 ff000000', '0800 0e00 ffffffff', '0500 1500 02000000'),
    // ip rule add pref 800 from 10.0.0.0/8 unreachable
    unreachable: buffer(
      '02 00 08 00 00 00 00 07 00000000',
      '0800 0f00 00000000',
      '0800 0e00 ffffffff',
      '0500 1500 00000000',
      '0800 0600 20030000',
      '0800 0200 0a000000',
    ),
  };

  test('ours', () => {
    assert.deepEqual(decodeRule(4, listed.goto), pass);
    assert.deepEqual(decodeRule(4, listed.lookup), lookup);
  });

  test('the kernel’s own, whose priority 0 is left out', () => {
    assert.deepEqual(decodeRule(4, listed.local), { ...rule, priority: 0, action: { lookup: 255 }, protocol: 2 });
  });

  test('one that ends in an error, and one with an action that we never use', () => {
    const read = decodeRule(4, listed.unreachable);
    assert.deepEqual(read, { ...rule, priority: 800, from: '10.0.0.0/8', action: 'unreachable', protocol: 0 });
    const prohibit = Buffer.from(listed.unreachable);
    prohibit[7] = 8; // FR_ACT_PROHIBIT in struct fib_rule_hdr
    assert.deepEqual(decodeRule(4, prohibit)?.action, { other: 8 });
  });

  test('one that looks for marks without a bit', () => {
    // ip rule add pref 800 fwmark 0/0xff lookup main
    const body = buffer('02 00 00 00 fe 00 00 01 00000000', '0800 0f00 fe000000', '0800 1000 ff000000');
    assert.deepEqual(decodeRule(4, body).fwmark, { value: 0, mask: 0xff });
  });
});

const route = { kind: 'route', family: 4, table: 500007 } as const;
const via: Route = { ...route, type: 'unicast', device: 'eth1', via: '192.168.0.1', metric: 100 };
const unreachable: Route = { ...route, type: 'unreachable', metric: 4294967295 };

describe('the bytes of a route are those of ip', () => {
  // ip route replace default via 192.168.0.1 dev eth1 metric 100 table 500007 protocol 230
  test('by a next hop', () => {
    assert.equal(
      encodeRoute(via, 6).toString('hex'),
      bytes(
        '02 00 00 00 00 e6 00 01 00000000',
        '0800 0500 c0a80001', // gateway
        '0800 0600 64000000', // metric
        '0800 0f00 27a10700', // table
        '0800 0400 06000000', // device
      ),
    );
  });

  // ip route replace default dev eth1 metric 100 table 500008 protocol 230
  test('onto a link, which is a scope of its own in IPv4', () => {
    const direct: Route = { ...route, table: 500008, type: 'unicast', device: 'eth1', metric: 100 };
    assert.equal(
      encodeRoute(direct, 6).toString('hex'),
      bytes('02 00 00 00 00 e6 fd 01 00000000', '0800 0600 64000000', '0800 0f00 28a10700', '0800 0400 06000000'),
    );
  });

  // ip route replace unreachable default metric 4294967295 table 500007 protocol 230
  test('to nowhere', () => {
    assert.equal(
      encodeRoute(unreachable).toString('hex'),
      bytes('02 00 00 00 00 e6 00 07 00000000', '0800 0600 ffffffff', '0800 0f00 27a10700'),
    );
  });

  // ip -6 route replace default via fd00::1 dev eth1 metric 100 table 500007 protocol 230
  test('in IPv6, where ip adds the destination ::', () => {
    assert.equal(
      encodeRoute({ ...via, family: 6, via: 'fd00::1' }, 6).toString('hex'),
      bytes(
        '0a 00 00 00 00 e6 00 01 00000000',
        '1400 0500 fd000000000000000000000000000001',
        '0800 0600 64000000',
        '0800 0f00 27a10700',
        '0800 0400 06000000',
      ),
    );
  });

  // ip route show table 500007 protocol 230; ip itself sorts out the protocol
  test('in a question for a table', () => {
    assert.equal(
      encodeRouteListing(4, { table: 500007, protocol: 230 }).toString('hex'),
      bytes('02 00 00 00 00 e6 00 00 00000000', '0800 0f00 27a10700'),
    );
  });
});

describe('a lookup is spoken as ip does', () => {
  // ip route get 203.0.113.5 mark 0x100007
  test('asked in IPv4', () => {
    assert.equal(
      encodeLookup('203.0.113.5', 0x100007).toString('hex'),
      bytes('02 20 00 00 00 00 00 00 00100000', '0800 0100 cb007105', '0800 1000 07001000'),
    );
  });

  // ip -6 route get 2001:db8::5 mark 0x100007
  test('asked in IPv6', () => {
    assert.equal(
      encodeLookup('2001:db8::5', 0x100007).toString('hex'),
      bytes('0a 80 00 00 00 00 00 00 00000000', '1400 0100 20010db8000000000000000000000005', '0800 1000 07001000'),
    );
  });

  test('answered', () => {
    const answer = buffer(
      '02 20 00 00 fc 00 00 01 00020000',
      '0800 0f00 27a10700',
      '0800 0100 cb007105',
      '0800 0400 06000000',
      '0800 0700 c0a80002', // source
      '0800 0500 c0a80001', // gateway
      '0800 1000 07001000',
      '0800 1900 00000000', // user
    );
    const found = { type: 'unicast', deviceIndex: 6, via: '192.168.0.1', table: 500007, source: '192.168.0.2' };
    assert.deepEqual(decodeLookup(answer), found);
  });
});

describe('a link', () => {
  // ip link show dev eth1; ip asks for virtual functions too, which makes 9 of the 8
  test('is asked for by name', () => {
    assert.equal(
      encodeLinkQuery('eth1').toString('hex'),
      bytes('00 00 0000 00000000 00000000 00000000', '0800 1d00 08000000', '0900 0300 6574683100 000000'),
    );
  });

  test('is asked for by index', () => {
    assert.equal(
      encodeLinkQuery(6).toString('hex'),
      bytes('00 00 0000 06000000 00000000 00000000', '0800 1d00 08000000'),
    );
  });

  // ip link set dev eth1 down
  test('is taken down', () => {
    assert.equal(encodeLinkDown(6).toString('hex'), bytes('00 00 0000 06000000 00000000 01000000'));
  });

  // ip link show dev eth1, the attributes that we read
  test('is decoded', () => {
    const up = buffer(
      '00 00 0100 06000000 43100100 00000000',
      '0900 0300 6574683100 000000',
      '0800 0400 dc050000', // MTU
      '1000 1200 0900 0100 7665746800 000000',
    );
    assert.deepEqual(decodeLink(up), { index: 6, name: 'eth1', up: true, type: 'veth', mtu: 1500 });
    const physical = buffer(
      '00 00 0100 06000000 02100000 00000000',
      '0900 0300 6574683100 000000',
      '0800 0400 28230000',
    );
    assert.deepEqual(decodeLink(physical), { index: 6, name: 'eth1', up: false, mtu: 9000 });
    // ip link set dev eth1 master blue, a VRF; a part whose master tells no kind (Linux with Open vSwitch of its own)
    const member = (...more: string[]) =>
      buffer(
        '00 00 0100 06000000 43100100 00000000',
        '0900 0300 6574683100 000000',
        '0800 0400 dc050000',
        '0800 0a00 09000000',
        ...more,
      );
    const eth1 = { index: 6, name: 'eth1', up: true, mtu: 1500 };
    assert.deepEqual(decodeLink(member('1800 1200 0900 0100 7665746800 000000 0800 0400 76726600')), {
      ...eth1,
      type: 'veth',
      master: { index: 9, type: 'vrf' },
    });
    assert.deepEqual(decodeLink(member()), { ...eth1, master: { index: 9 } });
  });
});

describe('addresses', () => {
  // ip -4 addr show dev eth1
  test('are asked for by link', () => {
    assert.equal(encodeAddressListing(4, 6).toString('hex'), bytes('02 00 00 00 06000000'));
  });

  test('are decoded', () => {
    const listed = buffer(
      '02 18 80 00 06000000',
      '0800 0100 c0a80002',
      '0800 0200 c0a80002',
      '0900 0300 6574683100 000000',
      '0800 0800 80000000', // permanent
    );
    const expected = { address: '192.168.0.2', prefixLength: 24, scope: 0, family: 4, usable: true };
    assert.deepEqual(decodeAddress(4, listed), expected);
  });

  test('are not usable while they are tentative', () => {
    const listed = buffer('0a 40 c0 fd 06000000', '1400 0100 fe80000000000000186557fffe3b6cf6', '0800 0800 c0000000');
    const address = 'fe80::1865:57ff:fe3b:6cf6';
    assert.deepEqual(decodeAddress(6, listed), { address, prefixLength: 64, scope: 253, family: 6, usable: false });
  });
});

describe('a neighbour', () => {
  // ip neigh get 192.168.0.1 dev eth1
  test('is asked for', () => {
    assert.equal(
      encodeNeighbourQuery(6, '192.168.0.1').toString('hex'),
      bytes('02 00 0000 06000000 0000 00 00', '0800 0100 c0a80001'),
    );
  });

  test('is decoded', () => {
    const permanent = buffer('02 00 0000 06000000 8000 00 01', '0800 0100 c0a80001');
    assert.deepEqual(decodeNeighbour(permanent), { state: 'permanent' });
    const silent = buffer('02 00 0000 06000000 2000 00 01', '0800 0100 c0a80001');
    assert.deepEqual(decodeNeighbour(silent), { state: 'failed' });
  });
});

describe('a kernel without strict checking lists more than it was asked for', () => {
  const kernel = (...bodies: readonly Buffer[]) => {
    const dump = async (): Promise<Reply[]> => bodies.map((body) => ({ type: 0, flags: 2, body }));
    return { dump } as unknown as NetlinkSocket;
  };

  test('routes of others and of other tables are passed over', async () => {
    const listed = (protocol: string, table: string) =>
      buffer(`02 00 00 00 fc ${protocol} 00 07 00000000`, `0800 0f00 ${table}`, '0800 0600 ffffffff');
    const socket = kernel(listed('03', '27a10700'), listed('e6', '28a10700'), listed('e6', '27a10700'));
    assert.deepEqual(await listRoutes(socket, 4, 500007), [unreachable]);
  });

  test('addresses of other links are passed over', async () => {
    const listed = (index: string) => buffer(`02 18 80 00 ${index}000000`, '0800 0200 c0a80002', '0800 0800 80000000');
    assert.deepEqual(await listAddresses(kernel(listed('07')), 6), []);
  });
});
