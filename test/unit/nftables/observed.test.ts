import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NftSet, Rule } from '../../../src/nftables/object.ts';
import { type ObservedRule, sameRule, sameSet } from '../../../src/nftables/observed.ts';
import { sets } from './sample.ts';

describe('a rule of the kernel', () => {
  const wanted: Rule = {
    statements: [
      { text: 'counter', expressions: [{ name: 'counter' }] },
      { text: 'goto a', expressions: [{ name: 'immediate', verdict: { code: 'goto', chain: 'a' } }] },
    ],
    comment: 'why',
  };
  const observed: ObservedRule = {
    chain: 'c',
    expressions: [{ name: 'counter' }, { verdict: { chain: 'a', code: 'goto' }, name: 'immediate' }],
    comment: 'why',
    counter: { packets: 7n, bytes: 700n },
  };

  test('is the wanted one whatever it has counted', () => assert.ok(sameRule(wanted, observed)));

  test('is another one with another comment', () => {
    const { comment: _, ...silent } = observed;
    assert.ok(!sameRule(wanted, { ...observed, comment: 'who' }));
    assert.ok(!sameRule(wanted, silent));
  });

  const others: Record<string, ObservedRule['expressions']> = {
    'one expression less': observed.expressions.slice(0, 1),
    'one expression more': [...observed.expressions, { name: 'counter' }],
    'another order': observed.expressions.toReversed(),
    'another verdict': [{ name: 'counter' }, { name: 'immediate', verdict: { code: 'goto', chain: 'b' } }],
    'an expression that is not ours': [
      { name: 'unknown', expression: 'counter', data: '' },
      ...observed.expressions.slice(1),
    ],
  };
  for (const [what, expressions] of Object.entries(others)) {
    test(`is another one with ${what}`, () => assert.ok(!sameRule(wanted, { ...observed, expressions })));
  }
});

describe('a set of the kernel', () => {
  test('is the wanted one whatever it holds', () => {
    assert.ok(sameSet(sets.cluster4, { ...sets.cluster4, intervals: [] }));
    assert.ok(sameSet(sets.lanes4, { ...sets.lanes4 }));
  });

  const others: Record<string, NftSet> = {
    'another name': { ...sets.lanes4, name: 'lanes' },
    'another key': { ...sets.lanes4, key: ['mark', 'ifname'] },
    'a value': { ...sets.lanes4, value: 'mark' },
    intervals: { ...sets.lanes4, intervals: [] },
    'no counter': { kind: 'set', name: 'lanes4', key: sets.lanes4.key },
  };
  for (const [what, other] of Object.entries(others)) {
    test(`is another one with ${what}`, () => assert.ok(!sameSet(sets.lanes4, other)));
  }
});
