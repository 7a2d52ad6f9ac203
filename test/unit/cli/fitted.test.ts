import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { duration, short } from '../../../src/base/quantity.ts';
import { type Column, fitTable, shortened, wrapped } from '../../../src/cli/fitted.ts';

const columns: readonly Column[] = [
  { title: 'POD', cells: ['team-payments/web-7d4b9c6f5d-x2k9p', 'a/b'], shorten: 'middle' },
  { title: 'ADDRESS', cells: ['10.0.0.174, fd00:10::ae', '10.0.0.9'], shorten: 'list', spare: 1 },
  { title: 'PACKETS', cells: ['1300', '0'] },
];
const linesOf = (width?: number) => fitTable(columns, false, width).text.trimEnd().split('\n');

describe('a table', () => {
  test('is as wide as it is without a terminal', () => {
    assert.deepEqual(linesOf(), [
      'POD                                 ADDRESS                  PACKETS',
      'team-payments/web-7d4b9c6f5d-x2k9p  10.0.0.174, fd00:10::ae  1300',
      'a/b                                 10.0.0.9                 0',
    ]);
  });

  test('loses the middle of names and the last ones of lists where there is too little room', () => {
    assert.deepEqual(linesOf(60), [
      'POD                         ADDRESS                  PACKETS',
      'team-payments…9c6f5d-x2k9p  10.0.0.174, fd00:10::ae  1300',
      'a/b                         10.0.0.9                 0',
    ]);
    assert.deepEqual(linesOf(41), [
      'POD              ADDRESS        PACKETS',
      'team-pa…d-x2k9p  10.0.0.174 +1  1300',
      'a/b              10.0.0.9       0',
    ]);
  });

  test('loses a whole column before cells become too short, and says which', () => {
    const { text, leftOut } = fitTable(columns, false, 25);
    assert.equal(text, 'POD               PACKETS\nteam-pay…d-x2k9p  1300\na/b               0\n');
    assert.deepEqual(leftOut, ['ADDRESS']);
  });

  for (const width of [20, 30, 40, 60, 80]) {
    test(`has no line of more than ${width} characters`, () => {
      for (const line of linesOf(width)) assert.ok(line.length <= width, line);
    });
  }

  test('obeys nothing that stands in a name', () => {
    const { text } = fitTable([{ title: 'POD', cells: ['a\x1b[2J/b\n'] }], false);
    assert.equal(text, 'POD\na?[2J/b?\n');
  });
});

test('a text is shortened by letters, not by bytes', () => {
  assert.equal(shortened('ä'.repeat(12), 'middle', 5), 'ää…ää');
  assert.equal(shortened('short', 'middle', 5), 'short');
});

test('of a list no half item stays, and one stays in any case', () => {
  assert.equal(shortened('10.0.0.1, 10.0.0.2, 10.0.0.3', 'list', 22), '10.0.0.1, 10.0.0.2 +1');
  assert.equal(shortened('10.0.0.1, 10.0.0.2, 10.0.0.3', 'list', 5), '10.0.0.1 +2');
});

test('sentences are broken between words, and keep their own lines', () => {
  assert.equal(wrapped('one two three\nfour', 8), 'one two\nthree\nfour');
  assert.equal(wrapped('one two three'), 'one two three');
});

test('numbers are short', () => {
  assert.deepEqual([0, 0.01, 0.4, 9.94, 12.3, 999, 999.6, 1234, 35_000_000, 5e15].map(short), [
    '0',
    '<0.1',
    '0.4',
    '9.9',
    '12',
    '999',
    '1.0k',
    '1.2k',
    '35M',
    '5000T',
  ]);
  assert.deepEqual([0.5, 2, 30, 300, 7300, 300_000].map(duration), ['0.5 s', '2 s', '30 s', '5 min', '2 h', '3 days']);
});
