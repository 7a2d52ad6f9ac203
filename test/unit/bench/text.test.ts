import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cellOf, middleOf, type ResultTable, ratioColumn, ratioOf, spreadOf } from '../../bench/result.ts';
import { podsOf, roundsOf } from '../../bench/statistics.ts';
import { formatted, textOf } from '../../bench/text.ts';

const spread = { rounds: 4, min: 1, p50: 2, p95: 40.25, max: 40.25 };

describe('series', () => {
  test('are kept as their least, middle, slow end and most, to four digits', () => {
    assert.deepEqual(spreadOf([40.25, 3, 1, 2]), spread);
    assert.deepEqual(spreadOf([1234.56, 0.000123456]), {
      rounds: 2,
      min: 0.0001235,
      p50: 0.0001235,
      p95: 1235,
      max: 1235,
    });
    assert.equal(spreadOf([]), null);
  });

  test('are compared round by round', () => {
    assert.deepEqual(ratioOf([10, 30, 90], [10, 10, 100]), { rounds: 3, min: 0.9, p50: 1, p95: 3, max: 3 });
    assert.deepEqual(ratioOf([10, 30], [10]), { rounds: 1, min: 1, p50: 1, p95: 1, max: 1 });
  });

  test('have as many rounds as is usual, or as BENCH_ROUNDS says', () => {
    assert.equal(roundsOf(30, {}), 30);
    assert.equal(roundsOf(30, { BENCH_ROUNDS: '2' }), 2);
    for (const wrong of ['', '0', '-1', '1.5', 'two'])
      assert.throws(() => roundsOf(30, { BENCH_ROUNDS: wrong }), /BENCH_ROUNDS is a number, 1 or more/);
  });
});

test('a node of the bench has no more pods than BENCH_PODS says', () => {
  assert.equal(podsOf(250, {}), 250);
  assert.deepEqual(
    [10, 250, 1000].map((usual) => podsOf(usual, { BENCH_PODS: '20' })),
    [10, 20, 20],
  );
  assert.throws(() => podsOf(250, { BENCH_PODS: '0' }), /BENCH_PODS is a number, 1 or more, not "0"/);
});

describe('tables of the bench', () => {
  const table: ResultTable = {
    name: 'calls',
    title: 'call',
    columns: [
      { name: 'time', unit: 'ms', shows: ['p50', 'p95'] },
      { ...ratioColumn('empty'), shows: ['p50'] },
      { name: 'faults', digits: 0 },
    ],
    rows: [
      { name: 'ADD', cells: [spread, spread, 1200.4] },
      { name: 'DEL', cells: [null, null, 'none'] },
      { name: 'seconds', digits: 2, shows: ['max'], cells: [spread, 1, 2] },
    ],
    note: 'That is all.',
  };

  test('are printed with units in their heads and ratios with an x', () => {
    assert.deepEqual(textOf(table).split('\n'), [
      'call     time, ms: p50 / p95  : empty  faults',
      'ADD      2.0 / 40.3           2.00 x   1200',
      'DEL      -                    -        none',
      'seconds  40.25                1.00 x   2.00',
      'That is all.',
      '',
    ]);
  });

  test('are asked for a cell by the names of its row and column', () => {
    assert.equal(cellOf(table, 'ADD', 'faults'), 1200.4);
    assert.equal(cellOf(table, 'ADD', 'nothing'), undefined);
    assert.equal(cellOf(undefined, 'ADD', 'faults'), undefined);
    assert.deepEqual([spread, 3, 'text', null, undefined].map(middleOf), [2, 3, undefined, undefined, undefined]);
  });

  test('show differences with a sign', () => {
    assert.deepEqual(
      [2, 0, -2].map((cell) => formatted(cell, { signed: true })),
      ['+2.0', '+0.0', '-2.0'],
    );
  });
});
