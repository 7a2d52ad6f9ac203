import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodeRoute, NodeRule } from '../../../src/datapath/objects.ts';
import {
  endsInError,
  isDecidedBy,
  type MarkedPacket,
  mayAct,
  routesBefore,
  rulesBefore,
} from '../../../src/datapath/other-ways.ts';

const numbers = { fwmark: 0x100000, routeTable: 500000, rulePriority: 700 };
const other = { kind: 'rule', family: 4, protocol: 0, priority: 100, action: { lookup: 200 } } as const;
const own: NodeRule = {
  ...{ kind: 'rule', family: 4, priority: 701, action: { lookup: 500007 } },
  fwmark: { value: 0x100007, mask: 0x103fff },
};

describe('rules that are asked before the one of an exit', () => {
  const local: NodeRule = { ...other, protocol: 2, priority: 0, action: { lookup: 255 } };
  const vrf: NodeRule = { ...other, priority: 1, action: { lookup: 0 }, narrower: true };
  const same: NodeRule = { ...other, priority: 701 };
  const behind: NodeRule = { ...other, priority: 701, action: { lookup: 201 } };
  const ofIpv6: NodeRule = { ...other, family: 6 };
  const exit = { id: 7, family: 4 } as const;

  test('are those of others, in the order of the kernel also where they have the same priority', () => {
    const rules = [local, vrf, other, same, own, behind, ofIpv6];
    assert.deepEqual(rulesBefore(rules, numbers, exit), [other, same]);
  });

  test('are none where the exit has no rule', () => assert.deepEqual(rulesBefore([local, other], numbers, exit), []));
});

describe('a rule may act on a packet', () => {
  const packet: MarkedPacket = { mark: 0x100207, source: '10.0.0.5', input: 'cni0', destination: '203.0.113.9' };
  const cases: readonly (readonly [string, Partial<NodeRule>, boolean])[] = [
    ['when it asks nothing', {}, true],
    ['of its source', { from: '10.0.0.0/24' }, true],
    ['but not of another source', { from: '10.0.1.0/24' }, false],
    ['to its destination', { to: '203.0.113.0/24' }, true],
    ['but not to another one', { to: '198.51.100.0/24' }, false],
    ['by its interface', { input: 'cni0' }, true],
    ['but not by another one', { input: 'eth0' }, false],
    ['when bits of an exit’s id are a mark of others', { fwmark: { value: 0x200, mask: 0xf00 } }, true],
    ['but not with another mark', { fwmark: { value: 0x6d6f, mask: 0xffffffff } }, false],
    ['when it is for all marks but one', { fwmark: { value: 0x6d6f, mask: 0xffffffff }, invert: true }, true],
    ['but not when that one is the packet’s', { fwmark: { value: 0x200, mask: 0xf00 }, invert: true }, false],
    ['when nobody knows what else it asks', { from: '10.0.0.0/24', narrower: true }, true],
    ['also when it is for all others', { from: '10.0.0.0/24', narrower: true, invert: true }, true],
  ];
  for (const [what, changes, expected] of cases) {
    test(what, () => assert.equal(mayAct({ ...other, ...changes }, packet), expected));
  }

  test('of which neither source nor destination are known', () => {
    const rule: NodeRule = { ...other, from: '10.0.1.0/24', to: '198.51.100.0/24', input: 'eth0' };
    assert.ok(mayAct(rule, { mark: packet.mark }));
    assert.ok(mayAct({ ...rule, invert: true }, { mark: packet.mark }));
  });
});

describe('what the kernel answers is made by a rule', () => {
  const by200 = { type: 'unicast', device: 'eth0', table: 200 };

  test('that leads to the table, or jumps over ours', () => {
    assert.ok(isDecidedBy(other, by200, numbers));
    assert.ok(!isDecidedBy({ ...other, action: { lookup: 201 } }, by200, numbers));
    assert.ok(isDecidedBy({ ...other, action: { goto: 32766 } }, by200, numbers));
    assert.ok(!isDecidedBy({ ...other, action: { goto: 600 } }, by200, numbers));
  });

  test('that is an error', () => {
    for (const answer of [undefined, { type: 'prohibit' }]) {
      assert.ok(isDecidedBy({ ...other, action: { other: 8 } }, answer, numbers));
      assert.ok(isDecidedBy({ ...other, action: 'unreachable' }, answer, numbers));
      assert.ok(!isDecidedBy(other, answer, numbers));
    }
  });
});

describe('routes of others', () => {
  const route: NodeRoute = { kind: 'route', family: 4, table: 500007, protocol: 3, type: 'unicast', metric: 0 };
  const ours: NodeRoute = {
    ...{ kind: 'route', family: 4, table: 500007, type: 'unicast', device: 'eth1', via: '192.168.0.1', metric: 1024 },
  };

  test('come before ours when they are for fewer destinations, or their metric is no worse', () => {
    const longer: NodeRoute = { ...route, destination: '203.0.113.0/24', metric: 5000 };
    assert.deepEqual(routesBefore([ours, route, longer, { ...route, metric: 1025 }]), [route, longer]);
  });

  test('end in an error for an address when the longest, and then the best, of them does', () => {
    const blackhole: NodeRoute = { ...route, type: 'blackhole', destination: '203.0.113.0/24' };
    assert.ok(endsInError([route, blackhole], '203.0.113.9'));
    assert.ok(!endsInError([route, blackhole], '198.51.100.9'));
    assert.ok(!endsInError([route, { ...route, type: 'prohibit', metric: 7 }], '198.51.100.9'));
    assert.ok(!endsInError([], '198.51.100.9'));
  });
});
