import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressObjectOf, nodeOf } from '../../../src/kubernetes/objects.ts';
import { type NodeFacts, type NodeWord, summaryOf, wordOf, writesFor } from '../../../src/kubernetes/status.ts';
import type { Verdict } from '../../../src/kubernetes/translate.ts';

const exit: Verdict = {
  ...{ kind: 'EgressExit', name: 'partners', problems: [], inForce: 'own' },
  gateways: ['172.18.0.3', '172.18.0.4'],
  ...{ policies: [], exits: ['partners'] },
};
const object = egressObjectOf({ metadata: { name: 'partners', generation: 3 } });
const node = (name: string, status: 'True' | 'False' = 'True', address = '172.18.0.9') =>
  nodeOf({
    metadata: { name },
    status: { conditions: [{ type: 'Ready', status }], addresses: [{ type: 'InternalIP', address }] },
  });
const nodes = [node('a'), node('b'), node('c')];
const now = '2026-11-29T03:00:00.000Z';

const facts = (more: Partial<NodeFacts>): NodeFacts => ({
  ...{
    name: 'a',
    address: '172.18.0.3',
    pods: new Map(),
    serves: new Map(),
    uses: new Map(),
    elected: new Map(),
    failures: [],
  },
  ...more,
});

describe('the word of a node', () => {
  test('is said of what concerns it, and of nothing else', () => {
    assert.equal(wordOf(exit, facts({ address: '172.18.0.9' })), undefined);
    assert.deepEqual(wordOf(exit, facts({ serves: new Map([['partners', true]]) })), {
      name: 'a',
      pods: 0,
      holds: true,
    });
    assert.deepEqual(
      wordOf(exit, {
        ...facts({ address: '172.18.0.9', pods: new Map([['exit partners', 2]]) }),
        uses: new Map([['partners', { gateway: '172.18.0.4', answers: false }]]),
      }),
      { name: 'a', pods: 2, gateway: '172.18.0.4', answers: false },
    );
  });

  test('of a gateway that does not serve says why', () => {
    assert.equal(wordOf(exit, facts({}))?.problem, 'the exit is not served here');
    const failures = ['Exit "partners": interface eth9 is not there', 'Exit "others": no'];
    assert.equal(wordOf(exit, facts({ failures }))?.problem, failures[0]);
  });
});

describe('what all words come to', () => {
  const ready = (words: readonly NodeWord[], of = object, among = nodes) => {
    const { conditions, ...summary } = summaryOf(exit, of, words, among, now);
    const { status, reason } = conditions.find(({ type }) => type === 'Ready') ?? {};
    return [status, reason, summary.holder, summary.answering, summary.pods];
  };

  test('names the last one that took the addresses: one that lost its power says no more', () => {
    const [old, young] = ['2026-11-29T01:00:00.000Z', '2026-11-29T02:00:00.000Z'];
    const words = [
      { name: 'a', holds: true, since: old },
      { name: 'b', holds: true, since: young },
    ];
    assert.deepEqual([ready(words)[2], ready(words.toReversed())[2]], ['b', 'b']);
  });

  test('is the holder, the gateways that are ready, and the pods of nodes that are there still', () => {
    const words = [
      { name: 'a', holds: true, pods: 1 },
      { name: 'b', holds: false },
      { name: 'c', pods: 2 },
    ];
    assert.deepEqual(ready([...words, { name: 'gone', pods: 7 }]), ['True', 'Ready', 'a', '2/2', 3]);
  });

  test('knows a gateway no more whose node is not ready, unless another node says that it answers', () => {
    const words: readonly NodeWord[] = [
      { name: 'a', holds: true, since: '2026-11-29T01:00:00.000Z' },
      { name: 'b', holds: true, since: '2026-11-29T02:00:00.000Z' },
    ];
    const among = [node('a', 'False', '172.18.0.3'), node('b', 'True', '172.18.0.4'), node('c')];
    const heard = (gateway: string) => ready([...words, { name: 'c', gateway, answers: true }], object, among);
    assert.deepEqual(heard('172.18.0.4').slice(2, 4), ['b', '1/2']);
    assert.deepEqual(heard('172.18.0.3').slice(2, 4), ['b', '2/2']);
  });

  test('is not ready without a gateway that has the addresses, or that answers', () => {
    assert.deepEqual(ready([{ name: 'c', pods: 1 }]), ['Unknown', 'NoWord', undefined, '0/2', 1]);
    assert.deepEqual(ready([{ name: 'a', holds: false }]), ['False', 'NoHolder', undefined, '1/2', 0]);
    assert.deepEqual(
      ready([
        { name: 'a', holds: true },
        { name: 'c', pods: 1, answers: false },
      ]),
      [...['False', 'NoAnswer', 'a', '1/2', 1]],
    );
  });

  test('is told since when, and for which generation', () => {
    const [first] = summaryOf(exit, object, [], nodes, '2026-01-01T00:00:00Z').conditions;
    const later = { ...object, status: { conditions: [first] } };
    const [second] = summaryOf(exit, later, [], nodes, now).conditions;
    assert.deepEqual(
      [second?.status, second?.lastTransitionTime, second?.observedGeneration],
      ['True', '2026-01-01T00:00:00Z', 3],
    );
    const refused: Verdict = {
      ...exit,
      problems: [{ source: '', pointer: '/spec/vrid', message: 'no' }],
      inForce: 'earlier',
    };
    const [third] = summaryOf(refused, later, [], nodes, now).conditions;
    assert.deepEqual([third?.status, third?.lastTransitionTime], ['False', now]);
    assert.equal(third?.message, '#/spec/vrid: no. What it said before stays in force on nodes that know it.');
  });
});

test('one node writes for all: the first ready one that says something, or the first ready one', () => {
  const writers = (words: readonly NodeWord[], of = nodes) =>
    of.map(({ name }) => name).filter((name) => writesFor(name, words, of));
  assert.deepEqual(writers([]), ['a']);
  assert.deepEqual(writers([{ name: 'c' }, { name: 'b' }]), ['b']);
  assert.deepEqual(writers([{ name: 'b' }, { name: 'c' }], [node('a'), node('b', 'False'), node('c')]), ['c']);
});
