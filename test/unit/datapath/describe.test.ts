import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import { describe, nameOf } from '../../../src/datapath/describe.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { difference } from '../../../src/datapath/difference.ts';
import { needsOf } from '../../../src/datapath/needs.ts';
import type { HostObject, TunnelLink } from '../../../src/datapath/objects.ts';
import type { Chain } from '../../../src/nftables/object.ts';
import { attachment, node } from './samples.ts';

const tunnel: TunnelLink = {
  kind: 'tunnel',
  name: 'egress0',
  ...{ vni: 14597, port: 4788, local: '172.18.0.5', mac: '02:e6:ac:12:00:05', mtu: 1450 },
  ...{ groupPolicy: true, learning: false, up: true },
};

/** One object of each kind, and of each form that has words of its own. */
const names: readonly (readonly [string, HostObject])[] = [
  ['table inet cni-egress', { kind: 'table' }],
  ['table netdev cni-egress', { kind: 'table', family: 'netdev' }],
  ['set own', { kind: 'set', name: 'own', key: ['fib_addrtype'] }],
  ['map pods4', { kind: 'set', name: 'pods4', key: ['ipv4_addr'], value: 'verdict' }],
  ['chain exit-7', { kind: 'chain', name: 'exit-7', rules: [] }],
  [
    'base chain nat',
    { kind: 'chain', name: 'nat', rules: [], hook: { type: 'nat', hook: 'postrouting', priority: 95 } },
  ],
  ['element 10.0.0.174 of pods4', { kind: 'element', set: 'pods4', key: '0a0000ae' }],
  ['element fd00::ae of pods6', { kind: 'element', set: 'pods6', key: 'fd0000000000000000000000000000ae' }],
  [
    'element 7 . eth1 of snat4',
    { kind: 'element', set: 'snat4', key: '0700000065746831000000000000000000000000', value: 'ac120021' },
  ],
  ['element 7 . eth1 of spread', { kind: 'element', set: 'spread', key: '0700000065746831000000000000000000000000' }],
  ['element 7 . 10.0.0.174 of blocks4', { kind: 'element', set: 'blocks4', key: '070000000a0000ae' }],
  [
    'element 300 . fd00::ae of blocks6',
    { kind: 'element', set: 'blocks6', key: '2c010000fd0000000000000000000000000000ae' },
  ],
  ['element 0.0.0.63 of exit-7-slots4', { kind: 'element', set: 'exit-7-slots4', key: '0000003f', value: 'ac120021' }],
  ['element ::3f of exit-7-slots6', { kind: 'element', set: 'exit-7-slots6', key: '3f'.padStart(32, '0') }],
  ['element 63 of exit-7-flows4', { kind: 'element', set: 'exit-7-flows4', key: '003f', value: 'ac120021' }],
  ['element 300 of tunnels', { kind: 'element', set: 'tunnels', key: '2c010000' }],
  ['element 300 of fallback', { kind: 'element', set: 'fallback', key: '2c010000' }],
  ['element 300 of served', { kind: 'element', set: 'served', key: '2c010000' }],
  [
    'element 300 . eth1 . 172.18.0.33 of lanes4',
    { kind: 'element', set: 'lanes4', key: '2c01000065746831000000000000000000000000ac120021' },
  ],
  [
    'element 300 . eth1 of sent',
    { kind: 'element', family: 'netdev', set: 'sent', key: '2c01000065746831000000000000000000000000' },
  ],
  ['element 02000000 of own', { kind: 'element', set: 'own', key: '02000000' }],
  [
    'ip rule priority 700 not fwmark 0x100000/0x100000 goto 702',
    {
      kind: 'rule',
      family: 4,
      priority: 700,
      action: { goto: 702 },
      fwmark: { value: 0x100000, mask: 0x100000 },
      invert: true,
    },
  ],
  [
    'ip -6 rule priority 701 fwmark 0x100007/0x103fff lookup 500007',
    {
      kind: 'rule',
      family: 6,
      priority: 701,
      action: { lookup: 500007 },
      fwmark: { value: 0x100007, mask: 0x103fff },
    },
  ],
  [
    'ip -6 rule priority 704 iif egress0 unreachable',
    { kind: 'rule', family: 6, priority: 704, action: 'unreachable', input: 'egress0' },
  ],
  ['ip rule priority 702 nop', { kind: 'rule', family: 4, priority: 702, action: 'nop' }],
  [
    'ip route default via 192.168.0.1 dev eth1 table 500007 metric 1024',
    {
      kind: 'route',
      family: 4,
      table: 500007,
      type: 'unicast',
      device: 'eth1',
      via: '192.168.0.1',
      metric: 1024,
    },
  ],
  [
    'ip route 192.168.0.0/24 dev eth1 table 500007 metric 1024',
    {
      kind: 'route',
      family: 4,
      table: 500007,
      destination: '192.168.0.0/24',
      type: 'unicast',
      device: 'eth1',
      metric: 1024,
    },
  ],
  [
    'ip route default via inet6 fe80::e6:acff:fe12:5 dev egress0 onlink table 500007 metric 1024',
    {
      kind: 'route',
      family: 4,
      table: 500007,
      type: 'unicast',
      device: 'egress0',
      via: 'fe80::e6:acff:fe12:5',
      onlink: true,
      metric: 1024,
    },
  ],
  [
    'ip -6 route default dev eth1 table 500007 metric 1024',
    { kind: 'route', family: 6, table: 500007, type: 'unicast', device: 'eth1', metric: 1024 },
  ],
  [
    'ip route unreachable default table 500007 metric 4294967295',
    { kind: 'route', family: 4, table: 500007, type: 'unreachable', metric: 4294967295 },
  ],
  ['tunnel device egress0', tunnel],
  [
    'address 172.18.0.5/32 of egress0',
    { kind: 'address', device: 'egress0', address: '172.18.0.5', prefixLength: 32, scope: 'link' },
  ],
  [
    'neighbour 172.18.0.6 of egress0 with 02:e6:ac:12:00:06',
    { kind: 'neighbour', device: 'egress0', address: '172.18.0.6', mac: '02:e6:ac:12:00:06' },
  ],
  [
    'forwarding entry 02:e6:ac:12:00:06 of egress0 to 172.18.0.6',
    { kind: 'forwarding', device: 'egress0', mac: '02:e6:ac:12:00:06', remote: '172.18.0.6' },
  ],
  ['sysctl net/ipv4/conf/eth1.100/rp_filter', { kind: 'sysctl', name: 'net/ipv4/conf/eth1.100/rp_filter', value: '2' }],
];

suite('an object is named as the tool that shows it names it:', () => {
  for (const [name, object] of names) test(name, () => assert.equal(nameOf(object), name));
});

suite('a change says', () => {
  test('of every kind of object that it is missing, or should not be there', () => {
    for (const [name, object] of names) {
      assert.deepEqual(describe({ verb: 'add', object }), [`${name} is missing`]);
      assert.deepEqual(describe({ verb: 'remove', object }), [`${name} should not be there`]);
    }
  });

  test('of a parameter what it is and what it should be', () => {
    const object = { kind: 'sysctl', name: 'net/x', value: '2' } as const;
    assert.deepEqual(describe({ verb: 'replace', object, observed: { ...object, value: '1' } }), [
      'sysctl net/x is 1, expected 2',
    ]);
  });

  test('of the tunnel’s device each property that differs', () => {
    const observed = { ...tunnel, mtu: 1500, learning: true, local: '172.18.0.9' };
    assert.deepEqual(describe({ verb: 'replace', object: tunnel, observed }), [
      'tunnel device egress0: local address is 172.18.0.9, expected 172.18.0.5',
      'tunnel device egress0: MTU is 1500, expected 1450',
      'tunnel device egress0: learning is true, expected false',
    ]);
  });

  test('of all else that it is not as expected', () => {
    const object = { kind: 'element', set: 'pods4', key: '0a0000ae', comment: 'a' } as const;
    assert.deepEqual(describe({ verb: 'replace', object, observed: { ...object, comment: 'b' } }), [
      'element 10.0.0.174 of pods4 is not as expected',
    ]);
  });
});

suite('a change of a chain names', () => {
  const wanted = desired(node, needsOf(node, attachment()));
  const program = wanted.find((object): object is Chain => object.kind === 'chain' && object.name === 'program-5f1c');
  assert.ok(program);
  const described = (observed: Chain) => difference([program], [observed]).flatMap(describe);

  test('each rule that is missing, by its place and in words', () => {
    assert.deepEqual(described({ ...program, rules: program.rules.filter((_, i) => i !== 2 && i !== 5) }), [
      'rule 3 of chain program-5f1c is missing: fib daddr type @own return',
      'rule 6 of chain program-5f1c is missing: ip daddr @program-5f1c-1 ct label set 64 | 67 | 72 | 76 | 79 | 82 | 84 | 85 | 87 | 88 | 93 | 95 goto exit-7',
    ]);
  });

  test('what else may differ when all rules are there', () => {
    const reason = 'chain program-5f1c is not as expected: its hook, or the order or number of its rules';
    assert.deepEqual(described({ ...program, rules: program.rules.toReversed() }), [reason]);
    assert.deepEqual(described({ ...program, rules: [...program.rules, ...program.rules] }), [reason]);
    assert.deepEqual(described({ ...program, hook: { type: 'filter', hook: 'input', priority: 0 } }), [reason]);
  });
});
