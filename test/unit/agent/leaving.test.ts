import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { forgetOnceGone, isLeaving } from '../../../src/agent/leaving.ts';
import type { Chains } from '../../../src/runtimes/conflists.ts';
import { recordVersion } from '../../../src/store/migration.ts';
import { added, newMachine } from '../support/fake-machine.ts';

const chains = (changes: Partial<Chains> = {}): Chains => ({
  own: new Map(),
  present: [],
  areDraining: false,
  ...changes,
});
const [none, draining, present] = [chains(), chains({ areDraining: true }), chains({ present: [{ type: 'egress' }] })];

describe('egress leaves a node', () => {
  test('from when a chain says so until one has it again', () => {
    assert.equal(isLeaving(false, none), false);
    assert.equal(isLeaving(false, draining), true);
    assert.equal(isLeaving(true, none), true);
    assert.equal(isLeaving(true, present), false);
    assert.equal(isLeaving(false, { ...present, areDraining: true }), false);
  });

  test('and nothing tells of its agent once all is gone, and not before', async (t) => {
    const machine = newMachine(t);
    const { store } = machine;
    const times = { startedAt: '2026-11-28T18:50:34.123Z', lookedAt: '2026-11-28T18:50:35.123Z' };
    store.agent.save({ version: recordVersion, ...times, failures: [] });
    for (const still of [draining, present]) forgetOnceGone(machine, still);
    assert.ok(store.agent.load());
    await added(machine, 'a', '10.0.0.5');
    forgetOnceGone(machine, none);
    assert.ok(store.agent.load());
    const empty = newMachine(t);
    empty.store.agent.save({ version: recordVersion, ...times, failures: [] });
    forgetOnceGone(empty, none);
    assert.equal(empty.store.agent.load(), undefined);
  });
});
