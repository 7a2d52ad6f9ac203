import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Change, difference, keyOf } from '../../../src/datapath/difference.ts';
import type { HostObject, PolicyRule, Route, Sysctl } from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import type { Chain, NftSet } from '../../../src/nftables/object.ts';
import * as say from '../../../src/nftables/statement.ts';
import { anyObject } from './arbitraries.ts';

const add = (object: HostObject): Change => ({ verb: 'add', object });
const remove = (object: HostObject): Change => ({ verb: 'remove', object });

const sysctl: Sysctl = { kind: 'sysctl', name: 'net/ipv4/conf/eth1/rp_filter', value: '2' };
const route: Route = { kind: 'route', family: 4, table: 500007, type: 'unicast', device: 'eth1', metric: 1024 };
const rule: PolicyRule = { kind: 'rule', family: 4, priority: 702, action: 'nop' };
const set: NftSet = { kind: 'set', name: 'ranges', key: ['ipv4_addr'], intervals: ['10.0.0.0/8'] };
const chain: Chain = { kind: 'chain', name: 'program-a', rules: [{ statements: [say.counter] }] };
const hook = { type: 'filter', hook: 'forward', priority: 0 } as const;

const operations = (...changes: Change[]) =>
  planOf(changes).transaction.map(({ verb, object }) => `${verb} ${keyOf(object)}`);

describe('a plan', () => {
  test('sets up parameters, then routes, then rules, before the transaction', () => {
    const plan = planOf([chain, rule, route, sysctl].map(add));
    assert.deepEqual(plan.before, [sysctl, route, rule]);
    assert.deepEqual(plan.transaction, [{ verb: 'add', object: chain }]);
    assert.deepEqual(plan.after, []);
  });

  test('takes rules, then routes down and puts parameters back, after the transaction', () => {
    const plan = planOf([sysctl, chain, route, rule].map(remove));
    assert.deepEqual(plan.before, []);
    assert.deepEqual(plan.transaction, [{ verb: 'delete', object: chain }]);
    assert.deepEqual(plan.after, [rule, route, sysctl]);
  });

  test('writes a route or parameter that differs before the transaction', () => {
    const other = [
      { ...route, device: 'eth2' },
      { ...sysctl, value: '1' },
    ];
    assert.deepEqual(planOf(difference([route, sysctl], other)).before, [sysctl, route]);
  });

  test('keeps the order of the changes within a kind', () => {
    const list = fc.uniqueArray(anyObject, { selector: keyOf });
    fc.assert(
      fc.property(list, (objects) => {
        const { before, transaction } = planOf(objects.map(add));
        for (const kind of ['sysctl', 'route', 'rule', 'set', 'chain', 'element'] as const) {
          const done = [...before, ...transaction.map(({ object }) => object)].filter((object) => object.kind === kind);
          assert.deepEqual(
            done,
            objects.filter((object) => object.kind === kind),
          );
        }
      }),
    );
  });
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
      `nft -f - <<'EOT'
delete chain inet cni-egress program-a
add set inet cni-egress ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
EOT
ip -6 rule del priority 702 nop
ip route del default dev eth1 table 500007 metric 1024
sysctl -w net/ipv4/conf/eth1/rp_filter=1
`,
    );
  });

  test('are no call of nft when nothing is to be done in nftables', () => {
    assert.equal(printChanges([add(sysctl)]), 'sysctl -w net/ipv4/conf/eth1/rp_filter=2\n');
    assert.equal(printChanges([]), '');
  });
});
