import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { desired } from '../../../src/datapath/desired.ts';
import { needsOfNode } from '../../../src/datapath/needs.ts';
import type { NodeRoute, NodeRule, PolicyRule, Route } from '../../../src/datapath/objects.ts';
import { isOurRoute, isOurTable, ourRules } from '../../../src/datapath/ours.ts';
import { desiredWayBack } from '../../../src/datapath/way-back.ts';
import type { Chain, NftSet } from '../../../src/nftables/object.ts';
import { node } from './samples.ts';

const all = desired(node, needsOfNode(node, []));
const made = [...all, ...node.exits.flatMap((exit) => desiredWayBack(node, exit))];
const rules = made.filter((object): object is PolicyRule => object.kind === 'rule');
const routes = made.filter((object): object is Route => object.kind === 'route');

describe('rules with our number', () => {
  test('are ours when we make such ones, with a record of the numbers and without', () => {
    assert.ok(rules.length > 4, String(rules.length));
    for (const numbers of [node, undefined]) assert.deepEqual(ourRules(rules, numbers), { rules, others: [] });
  });

  test('are ours with another bit of the mark: it may be about to change', () => {
    const before = { ...node, fwmark: 0x400000 };
    const earlier = desired(before, needsOfNode(before, [])).filter((object) => object.kind === 'rule');
    assert.deepEqual(ourRules(earlier, node).others, []);
  });

  test('are ours where only the landing of a jump is left', () => {
    const ends = rules.filter(({ action }) => action === 'nop');
    assert.ok(ends.length > 0);
    assert.deepEqual(ourRules(ends, node), { rules: ends, others: [] });
  });

  const others: Readonly<Record<string, (rule: PolicyRule) => NodeRule>> = {
    'select by a source, too': (rule) => ({ ...rule, from: '10.0.0.0/8' }),
    'select by a destination, too': (rule) => ({ ...rule, to: '203.0.113.0/24' }),
    'select by something that we never look at': (rule) => ({ ...rule, narrower: true }),
    'come in by another interface': (rule) => ({ ...rule, input: 'eth0' }),
    'stand elsewhere': (rule) => ({ ...rule, priority: rule.priority + 1000 }),
    'do something else': (rule) => ({ ...rule, action: { other: 6 } }),
    'look at another mark': (rule) => ({ ...rule, fwmark: { value: 1, mask: 1 } }),
  };
  for (const [what, changed] of Object.entries(others)) {
    test(`are none of ours when they ${what}`, () => {
      for (const rule of rules.map(changed)) assert.deepEqual(ourRules([rule], node), { rules: [], others: [rule] });
    });
  }

  test('are none of ours when they lead to another table', () => {
    const astray = rules.filter(({ action }) => typeof action === 'object' && 'lookup' in action);
    for (const rule of astray) {
      const other: NodeRule = { ...rule, action: { lookup: 99 } };
      assert.deepEqual(ourRules([other], node).rules, []);
    }
  });
});

describe('routes with our number in the table of an exit', () => {
  test('are ours when we make such ones', () => {
    assert.ok(routes.length > 2, String(routes.length));
    assert.deepEqual(routes.filter(isOurRoute), routes);
  });

  const others: Readonly<Record<string, (route: Route) => NodeRoute>> = {
    'are of another protocol': (route) => ({ ...route, protocol: 3 }),
    'have another metric': (route) => ({ ...route, metric: 0 }),
    'have several next hops': (route) => ({ ...route, several: true }),
    'are for some packets only': (route) => ({ ...route, narrower: true }),
    'do something else': (route) => ({ ...route, type: 'blackhole' }),
    'lead by a next hop to some destinations': (route) => ({
      ...{ ...route, type: 'unicast', device: 'eth0', via: '192.168.0.1', destination: '198.51.100.0/24' },
    }),
  };
  for (const [what, changed] of Object.entries(others)) {
    test(`are none of ours when they ${what}`, () => assert.deepEqual(routes.map(changed).filter(isOurRoute), []));
  }
});

test('a table is ours as long as it holds one of our chains or sets, and not when it is empty', () => {
  const chains = all.filter((object): object is Chain => object.kind === 'chain');
  for (const chain of chains) assert.ok(isOurTable([chain], []), chain.name);
  const own = all.filter((object): object is NftSet => object.kind === 'set' && ['own', 'sent'].includes(object.name));
  assert.equal(own.length, 2);
  for (const set of own) assert.ok(isOurTable([], [set]), set.name);
  assert.ok(!isOurTable([], []));
  assert.ok(!isOurTable([{ name: 'input-of-others' }], [{ name: 'blocklist' }]));
});
