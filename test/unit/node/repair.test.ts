import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { lookAtRecorded, repair } from '../../../src/node/repair.ts';
import { added, newMachine } from '../support/fake-machine.ts';

/** A node with a pod whose program has no record. */
async function newNode(t: TestContext) {
  const machine = newMachine(t);
  await added(machine, 'a', '10.0.0.5');
  using _lock = await machine.store.lock();
  machine.store.forgetPrograms(new Set());
  return machine;
}

// Seen once in the log of an agent (0.1.0, 29 November 2026): it had looked while a DEL took the last pod of a program down.
describe('an attachment whose program has no record', () => {
  test('is a failure of a look, which logs nothing: a DEL may be in the middle', async (t) => {
    const machine = await newNode(t);
    const { failures } = await lookAtRecorded(machine);
    assert.match(String(failures[0]?.error), /The record of \S+ is missing/);
    assert.deepEqual([failures.length, machine.warnings], [1, []]);
  });

  test('is said when it should have been mended, once', async (t) => {
    const machine = await newNode(t);
    using _lock = await machine.store.lock();
    const { failures } = await repair(machine);
    assert.match(String(failures[0]?.error), /The record of \S+ is missing/);
    assert.deepEqual([failures.length, machine.warnings], [1, ['could not be repaired']]);
  });
});
