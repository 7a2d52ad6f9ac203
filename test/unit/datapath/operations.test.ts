import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Change, difference, keyOf } from '../../../src/datapath/difference.ts';
import {
  type Forwarding,
  type HostObject,
  type InterfaceAddress,
  type Neighbour,
  nftKinds,
  outsideKinds,
  type PolicyRule,
  type Route,
  type Sysctl,
  type TunnelLink,
} from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import type { Chain, Element, NftSet } from '../../../src/nftables/object.ts';
import * as say from '../../../src/nftables/statement.ts';
import { anyObject } from './arbitraries.ts';

const add = (object: HostObject): Change => ({ verb: 'add', object });
const remove = (object: HostObject): Change => ({ verb: 'remove', object });

const sysctl: Sysctl = { kind: 'sysctl', name: 'net/ipv4/conf/eth1/rp_filter', value: '2' };
const route: Route = { kind: 'route', family: 4, table: 500007, type: 'unicast', device: 'eth1', metric: 1024 };
const rule: PolicyRule = { kind: 'rule', family: 4, priority: 702, action: 'nop' };
const tunnelLink: TunnelLink = {
  kind: 'tunnel',
  name: 'egress0',
  ...{ vni: 14597, port: 4788, local: '172.18.0.5', mac: '02:e6:ac:12:00:05', mtu: 1450 },
  ...{ groupPolicy: true, learning: false, up: true },
};
const address: InterfaceAddress = {
  kind: 'address',
  device: 'egress0',
  address: '172.18.0.5',
  prefixLength: 32,
  scope: 'link',
};
const neighbour: Neighbour = {
  kind: 'neighbour',
  device: 'egress0',
  address: '172.18.0.6',
  mac: '02:e6:ac:12:00:06',
};
const forwarding: Forwarding = {
  kind: 'forwarding',
  device: 'egress0',
  mac: '02:e6:ac:12:00:06',
  remote: '172.18.0.6',
};
const set: NftSet = { kind: 'set', name: 'ranges', key: ['ipv4_addr'], intervals: ['10.0.0.0/8'] };
const chain: Chain = { kind: 'chain', name: 'program-a', rules: [{ statements: [say.counter] }] };
const hook = { type: 'filter', hook: 'forward', priority: 0 } as const;

/** All kinds but the table. */
const kinds = [...Object.keys(outsideKinds), ...Object.keys(nftKinds)].filter((kind) => kind !== 'table');

const operations = (...changes: Change[]) =>
  planOf(changes).transaction.map(({ verb, object }) => `${verb} ${keyOf(object)}`);

describe('a plan', () => {
  test('sets up parameters, then routes, then rules, before the transaction', () => {
    const plan = planOf([chain, rule, route, sysctl].map(add));
    assert.deepEqual(plan.before, [sysctl, route, rule]);
    assert.deepEqual(plan.transaction, [{ verb: 'add', object: chain }]);
    assert.deepEqual(plan.after, []);
  });

  test('makes new sets and chains in a transaction before, where new ranges are among them and something leads there', () => {
    const verdict = { code: 'goto', chain: 'program-a' } as const;
    const leading: Element = { kind: 'element', set: 'pods4', key: '0a000001', verdict };
    const base: Chain = { ...chain, name: 'classify', hook };
    const plan = planOf([{ kind: 'table' } as const, set, chain, base, leading].map(add));
    const kindsOf = (all: typeof plan.ahead) => all.map(({ object }) => object.kind);
    assert.deepEqual(kindsOf(plan.ahead), ['table', 'set', 'chain']);
    assert.deepEqual(
      plan.transaction.map(({ object }) => object),
      [base, leading],
    );
    const replaced: Change = { verb: 'replace', object: chain, observed: { ...chain, rules: [] } };
    assert.deepEqual(kindsOf(planOf([add(set), replaced]).ahead), ['set'], 'a chain that is there looks into it');
    assert.deepEqual(planOf([set, chain].map(add)).ahead, [], 'nothing leads there');
    assert.deepEqual(planOf([chain, leading].map(add)).ahead, [], 'no ranges');
  });

  test('puts parameters back first, and takes rules, then routes down after the transaction', () => {
    const plan = planOf([sysctl, chain, route, rule].map(remove));
    assert.deepEqual([plan.first, plan.before], [[sysctl], []]);
    assert.deepEqual(plan.transaction, [{ verb: 'delete', object: chain }]);
    assert.deepEqual(plan.after, [rule, route]);
  });

  describe('with the tunnel’s device', () => {
    const tunnelRoute: Route = { ...route, device: tunnelLink.name };
    const all = [rule, tunnelRoute, route, chain, forwarding, neighbour, sysctl, address, tunnelLink];

    test('makes it down, and sets it up with the routes by it when all that judges is there', () => {
      const { shut, before, transaction, open, after } = planOf(all.map(add));
      assert.deepEqual(before, [{ ...tunnelLink, up: false }, address, sysctl, forwarding, route, rule]);
      assert.deepEqual(transaction, [{ verb: 'add', object: chain }]);
      assert.deepEqual(open, [tunnelLink, neighbour, tunnelRoute]);
      assert.deepEqual([shut, after], [[], []]);
    });

    test('sets it down before anything else, and takes it away in the end with what is on it', () => {
      const { shut, before, transaction, open, after } = planOf(all.map(remove));
      assert.deepEqual(shut, [{ ...tunnelLink, up: false }]);
      assert.deepEqual([before, open], [[], []]);
      assert.deepEqual(transaction, [{ verb: 'delete', object: chain }]);
      assert.deepEqual(after, [rule, route, tunnelLink]);
    });

    for (const [what, change] of [
      ['is down', { up: false }],
      ['has another identifier', { vni: 7 }],
      ['has another port', { port: 4789 }],
      ['is another node’s', { local: '172.18.0.9' }],
    ] as const) {
      test(`treats one that ${what} as one that is not there`, () => {
        const observed = { ...tunnelLink, ...change };
        const { before, open } = planOf(difference([tunnelLink, tunnelRoute], [observed]));
        assert.deepEqual(before, [{ ...tunnelLink, up: false }]);
        assert.deepEqual(open, [tunnelLink, tunnelRoute]);
      });
    }

    test('changes one that is up while it runs', () => {
      const { before, open } = planOf(difference([tunnelLink, tunnelRoute], [{ ...tunnelLink, mtu: 1400 }]));
      assert.deepEqual(before, [tunnelLink, tunnelRoute]);
      assert.deepEqual(open, []);
    });
  });

  test('takes a mark at an interface away before anything else, for another one that comes when all is there', () => {
    const mark = { kind: 'ingressMark', device: 'veth1', value: 0x40003fff, mask: 0x40003fff } as const;
    const earlier = { ...mark, value: 0x20003fff, mask: 0x20003fff };
    const skip: PolicyRule = { ...rule, priority: 700, action: { goto: 702 }, invert: true };
    const bit = (value: number) => ({ ...skip, fwmark: { value, mask: value } });
    const plan = planOf(
      difference([mark, chain, bit(0x40000000)], [earlier, { ...chain, rules: [] }, bit(0x20000000)]),
    );
    assert.deepEqual(plan.first, [bit(0x20000000), earlier]);
    assert.deepEqual([plan.before, plan.open, plan.last], [[], [], [bit(0x40000000)]]);
    assert.deepEqual(plan.closing, [mark]);
    assert.match(
      printChanges(difference([mark], [earlier])),
      /^tc filter del .*\n.* tc filter replace .*0x40003fff\n$/,
    );
  });

  test('writes a route or parameter that differs before the transaction', () => {
    const other = [
      { ...route, device: 'eth2' },
      { ...sysctl, value: '1' },
    ];
    assert.deepEqual(planOf(difference([route, sysctl], other)).before, [sysctl, route]);
  });

  test('gives an egress address when all is there that keeps the node from answering for it, and takes it before that goes', () => {
    const egress = {
      kind: 'address',
      device: 'eth1',
      address: '192.0.2.50',
      prefixLength: 32,
      scope: 'global',
    } as const;
    const own = { ...egress, device: 'egress0', address: '172.18.0.5', scope: 'link' } as const;
    const given = planOf([add(egress), add(own), add(set)]);
    assert.deepEqual([given.before, given.closing], [[own], [egress]]);
    const taken = planOf([remove(set), remove(egress), remove(own)]);
    assert.deepEqual([taken.first, taken.after], [[egress], [own]]);
  });

  test('keeps the order of the changes within a kind', () => {
    const list = fc.uniqueArray(anyObject, { selector: keyOf });
    fc.assert(
      fc.property(list, (objects) => {
        const { before, transaction, open, closing } = planOf(objects.map(add));
        const done = [...before, ...transaction.map(({ object }) => object), ...open, ...closing];
        const groups: readonly ((object: HostObject) => boolean)[] = [
          ...kinds.filter((kind) => kind !== 'address').map((kind) => (object: HostObject) => object.kind === kind),
          ...(['global', 'link'] as const).map(
            (scope) => (object: HostObject) => object.kind === 'address' && object.scope === scope,
          ),
        ];
        for (const isOne of groups)
          assert.deepEqual([...new Set(done.filter(isOne).map(keyOf))], objects.filter(isOne).map(keyOf));
      }),
    );
  });
});

test('of what goes from nftables elements go first, then chains, then sets: who leads to others before them', () => {
  const element = { kind: 'element', set: 'pods4', key: '0a000001' } as const;
  assert.deepEqual(operations(remove(set), remove(chain), add({ ...set, name: 'other' }), remove(element)), [
    'add set other',
    'delete element pods4 0a000001',
    'delete chain program-a',
    'delete set ranges',
  ]);
});

describe('what is in nftables already', () => {
  const changed = (desired: Chain | NftSet, observed: Chain | NftSet) =>
    operations(...difference([desired], [observed]));

  test('stays, and others lead to it, when only its content changes', () => {
    assert.deepEqual(changed(chain, { ...chain, rules: [] }), ['flush chain program-a', 'add chain program-a']);
    assert.deepEqual(changed(set, { ...set, intervals: ['10.0.0.0/9'] }), ['flush set ranges', 'add set ranges']);
  });

  test('is made anew when its hook or its type changes', () => {
    assert.deepEqual(changed({ ...chain, hook }, chain), ['delete chain program-a', 'add chain program-a']);
    assert.deepEqual(changed({ ...chain, hook }, { ...chain, hook: { ...hook, priority: 1 } }), [
      'delete chain program-a',
      'add chain program-a',
    ]);
    assert.deepEqual(changed(set, { ...set, key: ['ipv6_addr'] }), ['delete set ranges', 'add set ranges']);
  });

  test('is written anew when it is an element', () => {
    const element = { kind: 'element', set: 'pods4', key: '0a000001', comment: 'a' } as const;
    assert.deepEqual(operations(...difference([element], [{ ...element, comment: 'b' }])), [
      'delete element pods4 0a000001',
      'add element pods4 0a000001',
    ]);
  });
});

describe('changes, printed,', () => {
  test('are the commands in the order in which they are run', () => {
    assert.equal(
      printChanges([
        remove(chain),
        remove(route),
        remove({ ...rule, family: 6 }),
        remove({ ...sysctl, value: '1' }),
        add(set),
      ]),
      `sysctl -w net/ipv4/conf/eth1/rp_filter=1
nft -f - <<'EOT'
add set inet cni-egress ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
delete chain inet cni-egress program-a
EOT
ip -6 rule del priority 702 nop
ip route del default dev eth1 table 500007 metric 1024
`,
    );
  });

  test('set the tunnel’s device up with what is on it, and take it down', () => {
    const objects = [tunnelLink, address, neighbour, forwarding];
    assert.equal(
      printChanges(objects.map(add)),
      `ip link add egress0 address 02:e6:ac:12:00:05 mtu 1450 group 230 type vxlan id 14597 dstport 4788 local 172.18.0.5 nolearning gbp && ip link set egress0 addrgenmode none
ip address add 172.18.0.5/32 dev egress0 scope link
bridge fdb replace 02:e6:ac:12:00:06 dev egress0 dst 172.18.0.6 self permanent
ip link set egress0 up
ip neigh replace 172.18.0.6 lladdr 02:e6:ac:12:00:06 dev egress0 nud permanent
`,
    );
    assert.equal(printChanges(objects.map(remove)), 'ip link set egress0 down\nip link del egress0\n');
    assert.equal(
      printChanges([forwarding, neighbour, address].map(remove)),
      `bridge fdb del 02:e6:ac:12:00:06 dev egress0 dst 172.18.0.6 self permanent
ip neigh del 172.18.0.6 lladdr 02:e6:ac:12:00:06 dev egress0 nud permanent
ip address del 172.18.0.5/32 dev egress0 scope link
`,
    );
  });

  test('show the slots of an exit in words also when their map is there already', () => {
    const slot = { kind: 'element', set: 'exit-7-flows4', key: '003f', value: 'ac120021' } as const;
    assert.match(printChanges([add(slot)]), /^add element inet cni-egress exit-7-flows4 \{ 63 : 172\.18\.0\.33 \}$/m);
  });

  test('are no call of nft when nothing is to be done in nftables', () => {
    assert.equal(printChanges([add(sysctl)]), 'sysctl -w net/ipv4/conf/eth1/rp_filter=2\n');
    assert.equal(printChanges([]), '');
  });
});
