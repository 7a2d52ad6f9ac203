import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { desiredProgram } from '../../../src/datapath/program.ts';
import { labelOf, needsLabels, withoutLabels } from '../../../src/datapath/remembered.ts';
import { printRule } from '../../../src/nftables/script.ts';
import type { Match } from '../../../src/policy/match.ts';
import { attachment, node } from './samples.ts';

const match = (exit: string, destination = '203.0.113.0/24'): Match => ({
  policy: 'p',
  family: 4,
  destinations: [destination],
  except: [],
  exit,
});

const rulesOf = (matches: readonly Match[], more: object = {}) =>
  desiredProgram(node, attachment({ matches, ...more })).flatMap((object) =>
    object.kind === 'chain' ? object.rules.map(printRule) : [],
  );

const bitsIn = (text: string): string => (/^ct label ([\d,]+) /.exec(text)?.[1] ?? '').replaceAll(',', ' | ');

describe('the label of a connection', () => {
  const exit = (chain: string) => ({ code: 'goto', chain }) as const;
  const ends = (chain: string) => [exit(chain), { code: 'return' }] as const;

  test('has twelve of the 32 bits of its end, so that two that were added up are no label', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (program, chain) => {
        for (const [i, end] of ends(chain).entries()) {
          const bits = labelOf(program, end);
          assert.equal(new Set(bits).size, 12);
          assert.ok(bits.every((bit) => bit >= 64 + 32 * i && bit < 96 + 32 * i));
        }
      }),
    );
  });

  test('is another one for each program, and for each end of it', () => {
    const all = ['program-a', 'program-b'].flatMap((program) => ends('exit-7').map((end) => labelOf(program, end)));
    assert.equal(new Set(all.map(String)).size, 4);
    assert.notDeepEqual(labelOf('program-a', exit('exit-7')), labelOf('program-a', exit('exit-8')));
  });
});

describe('a program', () => {
  test('gives connections the label that its first rules ask for, with the same verdict', () => {
    const rules = rulesOf([match('partners'), match('backup', '198.51.100.0/24'), match('node', '192.0.2.0/24')]);
    const [first = '', second = '', third = '', fourth = ''] = rules;
    assert.match(first, /^ct label [\d,]+ \/ 64,[\d,]+,95 goto exit-7$/);
    assert.match(second, /^ct label [\d,]+ \/ 64,[\d,]+,95 goto exit-300$/);
    assert.match(third, /^ct label [\d,]+ \/ 96,[\d,]+,127 return$/);
    assert.equal(fourth, 'fib daddr type @own return');
    for (const asked of [first, second, third]) {
      const given = rules.filter((rule) => rule.includes(`ct label set ${bitsIn(asked)} `));
      assert.ok(given.length > 0);
      assert.ok(given.every((rule) => rule.endsWith(asked.replace(/^.*\d (?=goto|return)/, ''))));
    }
  });

  test('remembers four exits, those of its first matches, and decides about others each time', () => {
    const ids = [1, 2, 3, 4, 5];
    const exits = ids.map((id) => ({ ...(node.exits[0] as ResolvedExit), name: `exit${id}`, id }));
    const matches = [1, ...ids].map((id) => match(`exit${id}`, `198.51.100.${id}/32`));
    const rules = desiredProgram({ ...node, exits }, attachment({ matches })).flatMap((object) =>
      object.kind === 'chain' ? object.rules.map(printRule) : [],
    );
    const asked = rules.flatMap((rule) => /^ct label .* goto (exit-\d)$/.exec(rule)?.[1] ?? []);
    assert.deepEqual(asked, ['exit-1', 'exit-2', 'exit-3', 'exit-4']);
    assert.ok(rules.includes('ip daddr @program-5f1c-6 goto exit-5'));
  });

  test('remembers no drop, and nothing about the node and its segment', () => {
    const rules = rulesOf([match('drop')]);
    assert.ok(rules.includes('fib daddr type @own return'));
    assert.ok(rules.some((rule) => / goto exit-drop$/.test(rule) && !rule.includes('label')));
  });

  test('remembers nothing from before it had ranges of its own, since the shared ones may change', () => {
    assert.ok(rulesOf([match('partners')], { cluster: undefined }).every((rule) => !rule.includes('label')));
  });

  test('is the same without labels, for a kernel that has none', () => {
    const objects = desiredProgram(node, attachment({ matches: [match('partners')] }));
    assert.ok(objects.some(needsLabels));
    const plain = withoutLabels(objects);
    assert.ok(!plain.some(needsLabels));
    assert.deepEqual(
      plain.flatMap((object) => (object.kind === 'chain' ? object.rules.map(printRule) : [])),
      [
        'fib daddr type @own return',
        'ip daddr @program-5f1c-cluster4 return',
        'ip6 daddr @program-5f1c-cluster6 return',
        'ip daddr @program-5f1c-1 goto exit-7',
      ],
    );
  });
});
