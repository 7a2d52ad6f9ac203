import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fitsGlob, includesGlob } from '../../../src/policy/glob.ts';

describe('a glob', () => {
  const cases: [glob: string, fitting: string[], other: string[]][] = [
    ['default', ['default'], ['default-2', 'a-default', 'Default', '']],
    ['partner-*', ['partner-', 'partner-a'], ['partner', 'a-partner-a']],
    ['*-prod', ['-prod', 'a-prod', 'prod-prod'], ['prod', 'a-prod-b']],
    ['a?c', ['abc', 'a-c'], ['ac', 'abbc']],
    ['*', ['', 'anything'], []],
    ['**', ['', 'anything'], []],
    ['?', ['a'], ['', 'ab']],
    ['a*b*c', ['abc', 'a-b-b-c', 'abbcc'], ['acb', 'ab']],
  ];
  for (const [glob, fitting, other] of cases) {
    test(`${glob} fits ${fitting.map((text) => `"${text}"`).join(', ')}`, () => {
      assert.deepEqual(
        [...fitting, ...other].filter((text) => fitsGlob(glob, text)),
        fitting,
      );
    });
  }

  test('means what the regular expression made from it means', () => {
    const letters = (characters: string) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 8 });
    fc.assert(
      fc.property(letters('ab*?'), letters('ab'), (glob, text) => {
        const model = new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`);
        assert.equal(fitsGlob(glob, text), model.test(text));
      }),
      { numRuns: 2000 },
    );
  });

  test('of many wildcards is refused at once, where a regular expression would try for ages', () => {
    assert.equal(fitsGlob(`${'*a'.repeat(30)}b`, 'a'.repeat(63)), false);
  });
});

describe('a glob includes another', () => {
  const rows: [outer: string, inner: string, included: boolean][] = [
    ['*', 'default', true],
    ['*', '?*', true],
    ['partner-*', 'partner-a*', true],
    ['partner-*', 'partner-*', true],
    ['a?', 'a?', true],
    ['a?', 'ab', true],
    ['partner-a*', 'partner-*', false],
    ['a?', 'a*', false],
    ['default', '*', false],
  ];
  for (const [outer, inner, included] of rows) {
    test(`${outer} ${included ? 'does' : 'does not'} include ${inner}`, () => {
      assert.equal(includesGlob(outer, inner), included);
    });
  }

  test('only if every text that fits the inner one fits the outer one', () => {
    const letters = (characters: string) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 5 });
    fc.assert(
      fc.property(letters('ab*?'), letters('ab*?'), letters('ab'), (outer, inner, text) => {
        fc.pre(includesGlob(outer, inner) && fitsGlob(inner, text));
        assert.ok(fitsGlob(outer, text), `${outer} ${inner} ${text}`);
      }),
      { numRuns: 500, maxSkipsPerRun: 1000 },
    );
  });
});
