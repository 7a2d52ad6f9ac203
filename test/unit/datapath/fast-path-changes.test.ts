import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { effectOf, type RulesetChange } from '../../../src/datapath/fast-path-changes.ts';
import { addressHex } from '../../../src/datapath/layout.ts';

const pods = ['10.0.0.2', 'fd00:10::2'].map((address) => ({ address, exit: 7 }));
const fast = { devices: ['eth1', 'veth2'], pods };
const change = (
  verb: RulesetChange['verb'],
  kind: RulesetChange['kind'],
  name: string,
  more: Partial<RulesetChange> = {},
): RulesetChange => ({ verb, kind, name, family: 'inet', table: 'cni-egress', ...more });
const element = (verb: RulesetChange['verb'], set: string, ...keys: readonly string[]) =>
  change(verb, 'element', set, { keys });
const atDevice = (verb: RulesetChange['verb'], kind: RulesetChange['kind'], device: string) =>
  change(verb, kind, `from-${device}`, { family: 'netdev', isBase: true });

const otherPod = addressHex('10.0.0.9');
const ownPod = addressHex('10.0.0.2');

const cases: readonly {
  readonly what: string;
  readonly changes: readonly RulesetChange[];
  readonly effect: ReturnType<typeof effectOf>;
}[] = [
  {
    what: 'another pod begins, with a program that nobody had',
    changes: [
      change('new', 'chain', 'program-ab', { isBase: false }),
      change('new', 'rule', 'program-ab'),
      change('new', 'set', 'program-ab-0-4'),
      element('new', 'pods4', otherPod),
      element('new', 'ends4', otherPod + otherPod),
      atDevice('new', 'chain', 'veth9'),
      atDevice('new', 'rule', 'veth9'),
    ],
    effect: 'nothing',
  },
  {
    what: 'another pod ends, and its program with it',
    changes: [
      element('delete', 'pods4', otherPod),
      element('delete', 'blocks4', `07000000${otherPod}`),
      change('delete', 'rule', 'program-ab'),
      change('delete', 'chain', 'program-ab'),
      element('delete', 'program-ab-0-4', '0a000000'),
      change('delete', 'set', 'program-ab-0-4'),
      atDevice('delete', 'rule', 'veth9'),
      atDevice('delete', 'chain', 'veth9'),
    ],
    effect: 'nothing',
  },
  { what: 'a pod of the fast path ends', changes: [element('delete', 'pods4', ownPod)], effect: 'end' },
  { what: 'such a pod gets another program', changes: [element('new', 'programs4', ownPod)], effect: 'end' },
  { what: 'the chain at its interface goes', changes: [atDevice('delete', 'chain', 'veth2')], effect: 'end' },
  { what: 'a lane goes', changes: [element('delete', 'lanes4', '00')], effect: 'end' },
  { what: 'ranges of a program change', changes: [element('new', 'program-ab-0-4', '0a000000')], effect: 'end' },
  { what: 'a rule goes that is in use', changes: [change('delete', 'rule', 'judge')], effect: 'end' },
  { what: 'a rule comes into a chain that is in use', changes: [change('new', 'rule', 'exit-7')], effect: 'end' },
  {
    what: 'a chain of an exit is made anew',
    changes: [
      change('delete', 'rule', 'exit-7'),
      change('delete', 'chain', 'exit-7', { isBase: false }),
      change('new', 'chain', 'exit-7', { isBase: false }),
    ],
    effect: 'end',
  },
  {
    what: 'a chain comes to a hook, with a rule',
    changes: [change('new', 'chain', 'guard', { isBase: true }), change('new', 'rule', 'guard')],
    effect: 'end',
  },
  {
    what: 'somebody else’s chain comes to a hook',
    changes: [change('new', 'chain', 'x', { isBase: true })],
    effect: 'end',
  },
  { what: 'our table goes', changes: [change('delete', 'table', '')], effect: 'end' },
  { what: 'something nobody knows', changes: [change('new', 'other', '')], effect: 'end' },
  { what: 'others change theirs', changes: [change('new', 'rule', 'FORWARD', { table: 'filter' })], effect: 'soon' },
  {
    what: 'the table of the fast path itself',
    changes: [change('new', 'table', '', { table: 'cni-egress-fast' })],
    effect: 'nothing',
  },
  { what: 'a transaction without anything', changes: [], effect: 'nothing' },
];

describe('a transaction', () => {
  for (const { what, changes, effect } of cases)
    test(`${what}: ${effect}`, () => assert.equal(effectOf(changes, fast), effect));

  test('with one thing that is not known to be harmless ends all', () => {
    const harmless = cases[0]?.changes ?? [];
    assert.equal(effectOf([...harmless, change('delete', 'rule', 'guard')], fast), 'end');
  });
});
