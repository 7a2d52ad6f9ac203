import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  eventName,
  eventOf,
  type Notice,
  noticesOf,
  regardingObject,
  regardingPod,
} from '../../../src/kubernetes/events.ts';
import { egressObjectOf, nodeOf } from '../../../src/kubernetes/objects.ts';
import type { Condition, NodeWord, Summary } from '../../../src/kubernetes/status.ts';

const regarding = regardingObject('EgressExit', egressObjectOf({ metadata: { name: 'partners', uid: 'u-1' } }));
const reporter = { node: 'a', at: '2026-11-29T03:00:00.123Z' };
const node = (name: string, status: 'True' | 'False' = 'True') =>
  nodeOf({ metadata: { name }, status: { conditions: [{ type: 'Ready', status }] } });
const nodes = [node('a'), node('b'), node('c', 'False')];

const condition = (
  type: Condition['type'],
  status: Condition['status'],
  reason: string,
  message: string,
): Condition => ({
  ...{ type, status, reason, message, observedGeneration: 1, lastTransitionTime: '' },
});
const summary = (holder: string | undefined, ...conditions: Condition[]): Summary => ({
  ...(holder !== undefined && { holder }),
  ...{ pods: 0, conditions },
});

/** What is told of a change of a status, one line for each Event. */
const told = (before: Summary, after: Summary, words: readonly NodeWord[] = []) =>
  noticesOf(regarding, before, after, words, nodes).map(({ type, reason, note }) => `${type} ${reason}: ${note}`);

describe('what a status tells that it did not before', () => {
  test('is that an exit has moved, from where to where, and why', () => {
    assert.deepEqual(told(summary('a'), summary('b'), [{ name: 'a', problem: 'interface eth1 is down' }]), [
      'Normal ExitMoved: The exit has moved from a to b: a: interface eth1 is down',
    ]);
    assert.deepEqual(told(summary('a'), summary('b'), [{ name: 'b', why: 'a is silent' }]), [
      'Normal ExitMoved: The exit has moved from a to b: b: a is silent',
    ]);
    assert.deepEqual(told(summary('c'), summary('b')), [
      'Normal ExitMoved: The exit has moved from c to b: node c is not ready',
    ]);
    assert.deepEqual(told(summary('d'), summary('b')), [
      'Normal ExitMoved: The exit has moved from d to b: node d is no more',
    ]);
    assert.deepEqual(told(summary('a'), summary('b')), ['Normal ExitMoved: The exit has moved from a to b']);
  });

  test('is told once of a move, also by two nodes that know different things of it', () => {
    const words = [{ name: 'b', why: 'c is silent', since: '2026-11-29T02:59:00.000Z' }];
    const names = [nodes, [node('a'), node('b'), node('c')]].map((known, i) => {
      const [notice] = noticesOf(regarding, summary('c'), summary('b'), words, known);
      assert.ok(notice);
      return [notice.note, eventName(notice, { node: 'a', at: `2026-11-29T03:00:${i}9.000Z` })] as const;
    });
    assert.notEqual(names[0]?.[0], names[1]?.[0]);
    assert.equal(names[0]?.[1], names[1]?.[1]);
  });

  test('is no move where nobody was before, or where all stays', () => {
    assert.deepEqual([told(summary(undefined), summary('b')), told(summary('b'), summary('b'))], [[], []]);
  });

  test('is a condition that holds no more, once, and that it holds again', () => {
    const [good, bad] = [
      condition('Ready', 'True', 'Ready', 'It can be used.'),
      condition('Ready', 'False', 'NoHolder', 'No gateway has the addresses'),
    ];
    assert.deepEqual(told(summary('a', good), summary(undefined, bad)), [
      'Warning NoHolder: No gateway has the addresses',
    ]);
    assert.deepEqual(told(summary(undefined, bad), summary(undefined, bad)), []);
    assert.deepEqual(told(summary(undefined, bad), summary(undefined, { ...bad, message: 'Other' })), [
      'Warning NoHolder: Other',
    ]);
    assert.deepEqual(told(summary(undefined, bad), summary('a', good)), ['Normal Ready: It can be used.']);
    assert.deepEqual(
      told(summary('a'), summary('a', good)),
      [],
      'an object that is right from the beginning is no news',
    );
  });
});

describe('an Event', () => {
  const notice: Notice = { regarding, type: 'Warning', reason: 'Refused', action: 'Judge', note: 'x' };

  test('has what an API server asks for', () => {
    const { metadata, ...event } = eventOf(notice, reporter) as Record<string, unknown>;
    assert.deepEqual(event, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      eventTime: '2026-11-29T03:00:00.123000Z',
      reportingController: 'egress.cni/agent',
      reportingInstance: 'a',
      regarding: { apiVersion: 'egress.cni/v1alpha1', kind: 'EgressExit', name: 'partners', uid: 'u-1' },
      type: 'Warning',
      reason: 'Refused',
      action: 'Judge',
      note: 'x',
    });
    assert.deepEqual(metadata, { name: eventName(notice, reporter), namespace: 'default' });
    const pod = regardingPod({ namespace: 'shop', name: 'web-0' });
    assert.ok(pod);
    const { metadata: ofPod } = eventOf({ ...notice, regarding: pod }, reporter) as { metadata: { namespace: string } };
    assert.equal(ofPod.namespace, 'shop');
  });

  test('has a note of 1024 bytes at most, in whole letters', () => {
    for (const long of ['ä'.repeat(2000), `a${'ä'.repeat(2000)}`]) {
      const { note } = eventOf({ ...notice, note: long }, reporter) as { note: string };
      assert.ok(Buffer.byteLength(note) <= 1024 && Buffer.byteLength(note) > 1000 && !note.includes('\uFFFD'), note);
    }
  });

  test('of the same cause has the same name, but for what happens again', () => {
    const later = { ...reporter, at: '2026-11-29T04:00:00.000Z' };
    assert.equal(eventName(notice, reporter), eventName(notice, later));
    assert.notEqual(eventName(notice, reporter), eventName({ ...notice, note: 'y' }, reporter));
    const known = { ...notice, isHappening: true, occasion: 'a b 2026' } as const;
    assert.equal(eventName(known, reporter), eventName({ ...known, note: 'in other words' }, later));
    assert.notEqual(eventName(known, reporter), eventName({ ...known, occasion: 'a b 2027' }, reporter));
    const moved = { ...notice, isHappening: true } as const;
    assert.notEqual(eventName(moved, reporter), eventName(moved, later));
    assert.match(
      eventName({ ...notice, regarding: { ...regarding, name: 'n'.repeat(253) } }, reporter),
      /^[a-z0-9.-]{1,253}$/,
    );
  });
});
