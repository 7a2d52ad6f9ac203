import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Match } from '../../../src/policy/match.ts';
import { matchFor } from '../../../src/policy/match-for.ts';

const match = (exit: string, destinations: string[], except: string[] = []): Match => ({
  policy: 'p',
  family: destinations[0]?.includes(':') ? 6 : 4,
  ...{ destinations, except, exit },
});

const exitFor = (program: readonly Match[], destination: string) => matchFor(program, destination)?.exit;

describe('the match for a destination', () => {
  test('is the first that holds it', () => {
    const program = [match('narrow', ['203.0.113.0/25', '192.0.2.0/24']), match('wide', ['0.0.0.0/0'])];
    assert.equal(exitFor(program, '203.0.113.9'), 'narrow');
    assert.equal(exitFor(program, '192.0.2.255'), 'narrow');
    assert.equal(exitFor(program, '203.0.113.128'), 'wide');
    assert.equal(exitFor(program.toReversed(), '203.0.113.9'), 'wide');
  });

  test('is none that makes an exception of it', () => {
    const program = [match('narrow', ['203.0.113.0/24'], ['203.0.113.9/32']), match('wide', ['0.0.0.0/0'])];
    assert.equal(exitFor(program, '203.0.113.9'), 'wide');
    assert.equal(exitFor(program, '203.0.113.10'), 'narrow');
  });

  test('is of its family', () => {
    const program = [match('four', ['0.0.0.0/0']), match('six', ['::/0'])];
    assert.equal(exitFor(program, '2001:db8::1'), 'six');
    assert.equal(exitFor(program, '203.0.113.9'), 'four');
  });

  test('is not there when none fits', () => {
    assert.equal(matchFor([match('narrow', ['203.0.113.0/24'])], '192.0.2.1'), undefined);
    assert.equal(matchFor([match('four', ['0.0.0.0/0'])], '2001:db8::1'), undefined);
    assert.equal(matchFor([], '192.0.2.1'), undefined);
  });
});
