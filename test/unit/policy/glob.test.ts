import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fitsGlob } from '../../../src/policy/glob.ts';

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
