import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupsOf, ownersText } from '../../../src/report/check-groups.ts';

const own = (owner: string, ...problems: string[]) => ({ owner, problems });

describe('problems', () => {
  test('that several have are told once, with their names, in the order in which they were found', () => {
    assert.deepEqual(groupsOf([own('a', 'x', 'y'), own('b', 'z', 'y'), own('c')]), [
      { owners: ['a'], problem: 'x' },
      { owners: ['a', 'b'], problem: 'y' },
      { owners: ['b'], problem: 'z' },
    ]);
  });

  test('that come of a missing table are told by the table alone, and all others as well', () => {
    const table = 'table inet cni-egress is missing';
    const groups = groupsOf([
      own('a', table, 'chain exit-7 is missing', 'element 10.0.0.5 of pods4 is missing', 'eth1 is down'),
      own('b', table, 'chain exit-7 is missing', 'element 10.0.0.6 of pods4 is missing'),
      own('gateway', 'tunnel device egress0: MTU is 1500, expected 1450'),
    ]);
    assert.deepEqual(groups, [
      {
        owners: ['a', 'b'],
        problem: `${table}, and 3 other objects of egress: the ruleset was flushed, or the machine started anew; "egress repair" sets all up again`,
      },
      { owners: ['a'], problem: 'eth1 is down' },
      { owners: ['gateway'], problem: 'tunnel device egress0: MTU is 1500, expected 1450' },
    ]);
  });

  test('that come of no missing table are all told', () => {
    assert.equal(groupsOf([own('a', 'chain nat is missing', 'chain guard is missing')]).length, 2);
  });
});

test('many names are the first, and how many more', () => {
  assert.deepEqual([['a'], ['a', 'b', 'c'], ['a', 'b', 'c', 'd']].map(ownersText), ['a', 'a, b, c', 'a and 3 more']);
});
