import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { suggestion } from '../../../src/base/nearest.ts';

const keys = ['name', 'id', 'interface', 'nextHop', 'addresses'];

describe('a suggestion for a word that nobody knows', () => {
  for (const [word, meant] of [
    ['nexthop', 'nextHop'],
    ['NEXTHOP', 'nextHop'],
    ['next-hop', 'nextHop'],
    ['nextHops', 'nextHop'],
    ['adress', 'addresses'],
    ['interfcae', 'interface'],
    ['nam', 'name'],
  ] as const) {
    test(`is "${meant}" for "${word}"`, () => assert.equal(suggestion(word, keys), `did you mean "${meant}"?`));
  }

  test('is the nearest of several near ones', () => {
    assert.equal(suggestion('partner-b1', ['partner-a', 'partner-b', 'partner-c']), 'did you mean "partner-b"?');
  });

  test('is all of them when none is near', () => {
    assert.equal(suggestion('gateways', ['name', 'id']), 'expected one of "name", "id"');
    assert.equal(suggestion('ad', ['id']), 'expected one of "id"');
  });

  test('shows words with what they all begin with, but compares them without', () => {
    assert.equal(suggestion('exits', ['exit', 'ports'], 'a.b/'), 'did you mean "a.b/exit"?');
    assert.equal(suggestion('x', ['exit', 'ports'], 'a.b/'), 'expected one of "a.b/exit", "a.b/ports"');
  });

  test('says when there is nothing to choose from', () => assert.equal(suggestion('x', []), 'there is none'));
});
