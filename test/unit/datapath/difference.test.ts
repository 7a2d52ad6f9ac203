import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Change, difference, keyOf } from '../../../src/datapath/difference.ts';
import { missingRules } from '../../../src/datapath/kinds/chain.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import type { Chain } from '../../../src/nftables/object.ts';
import * as say from '../../../src/nftables/statement.ts';
import { asListed } from '../support/fake-kernel.ts';
import { anyObject } from './arbitraries.ts';

const anyList = fc.uniqueArray(anyObject, { selector: keyOf, maxLength: 15 });
const anyListed = anyList.map((objects) => objects.map(asListed));

/** What a host that had `observed` has after the changes. */
function after(changes: readonly Change[], observed: readonly HostObject[]): HostObject[] {
  const objects = new Map(observed.map((object) => [keyOf(object), object]));
  for (const change of changes) {
    const key = keyOf(change.object);
    assert.equal(objects.has(key), change.verb !== 'add', `${change.verb} ${key}`);
    if (change.verb === 'replace') assert.equal(objects.get(key), change.observed);
    if (change.verb === 'remove') objects.delete(key);
    else objects.set(key, asListed(change.object));
  }
  return [...objects.values()];
}

const sorted = (objects: readonly HostObject[]) => objects.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

describe('the difference', () => {
  test('between what should be and the same as the kernel lists it is nothing', () => {
    fc.assert(
      fc.property(anyList, (objects) => {
        assert.deepEqual(difference(objects, objects.map(asListed).reverse()), []);
      }),
    );
  });

  test('makes what is into what should be, and no change twice', () => {
    fc.assert(
      fc.property(anyList, anyListed, (desired, observed) => {
        const changes = difference(desired, observed);
        assert.deepEqual(sorted(after(changes, observed)), sorted(desired.map(asListed)));
      }),
    );
  });

  test('replaces nothing that is as it should be', () => {
    fc.assert(
      fc.property(anyList, anyListed, (desired, observed) => {
        for (const change of difference(desired, observed)) {
          if (change.verb !== 'replace') continue;
          assert.notDeepEqual(asListed(change.object), change.observed);
        }
      }),
    );
  });

  test('adds and replaces in the order of what should be, then removes in the order of what is', () => {
    fc.assert(
      fc.property(anyList, anyListed, (desired, observed) => {
        const changes = difference(desired, observed).map(({ verb, object }) => ({ verb, object }));
        const [verbs, objects] = [changes.map(({ verb }) => verb), changes.map(({ object }) => object)];
        const firstRemoval = verbs.includes('remove') ? verbs.indexOf('remove') : verbs.length;
        assert.ok(verbs.slice(firstRemoval).every((verb) => verb === 'remove'));
        const [kept, gone] = [objects.slice(0, firstRemoval), objects.slice(firstRemoval)];
        assert.deepEqual(
          kept,
          desired.filter((object) => kept.includes(object)),
        );
        assert.deepEqual(
          gone,
          observed.filter((object) => gone.includes(object)),
        );
      }),
    );
  });

  test('sees ranges as they are merged, and takes a set whose ranges were not read by its name', () => {
    const halves: HostObject = {
      kind: 'set',
      name: 'program-1-r',
      key: ['ipv4_addr'],
      intervals: ['10.0.0.0/25', '10.0.0.128/25'],
    };
    const { intervals: _, ...unread } = halves;
    assert.deepEqual(difference([halves], [{ ...halves, intervals: ['10.0.0.0/24'] }]), []);
    assert.deepEqual(difference([halves], [unread]), []);
    assert.equal(difference([halves], [{ ...halves, intervals: ['10.0.0.0/25'] }])[0]?.verb, 'replace');
  });

  test('sees a chain by its instructions and comments, whatever the words', () => {
    const rule = { statements: [say.counter, say.isReply], comment: 'why' };
    const chain: Chain = { kind: 'chain', name: 'c', rules: [rule] };
    const changed = (change: Partial<Chain>) => difference([chain], [{ ...chain, ...change }]).map(({ verb }) => verb);
    const wordless = { ...rule, statements: rule.statements.map((statement) => ({ ...statement, text: '' })) };
    assert.deepEqual(changed({ rules: [wordless] }), []);
    assert.deepEqual(changed({ rules: [{ ...rule, comment: 'other' }] }), ['replace']);
    assert.deepEqual(changed({ rules: [{ ...rule, statements: rule.statements.toReversed() }] }), ['replace']);
    assert.deepEqual(changed({ hook: { type: 'filter', hook: 'forward', priority: 0 } }), ['replace']);
  });
});

test('the rules that a chain misses are named by their place, from 1', () => {
  const rules = [say.isReply, say.counter, say.verdict({ code: 'drop' })].map((statement) => ({
    statements: [statement],
  }));
  const chain: Chain = { kind: 'chain', name: 'c', rules };
  assert.deepEqual(missingRules(chain, { ...chain, rules: rules.slice(1, 2) }), [
    { place: 1, rule: rules[0] },
    { place: 3, rule: rules[2] },
  ]);
  assert.deepEqual(missingRules(chain, { ...chain, rules: rules.toReversed() }), []);
});
