import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describe as inWords } from '../../../src/datapath/describe.ts';
import { needsEgressHook } from '../../../src/datapath/egress-counters.ts';
import { netdevTable } from '../../../src/datapath/layout.ts';
import { needsLabels } from '../../../src/datapath/remembered.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { added, newMachine, policyTo, stateOf } from '../support/fake-machine.ts';

describe('on a kernel without the egress hook of netdev', () => {
  test('ADD sets up everything else, which CHECK finds complete, and DEL takes it down', async (t) => {
    const machine = newMachine(t);
    machine.host.egressHook = false;
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.0.5');
    assert.ok(machine.host.kernel.hasTable);
    assert.deepEqual(machine.host.kernel.contents().filter(needsEgressHook), []);
    await check(machine, attachment, () => true);
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('a repeated ADD changes nothing', async (t) => {
    const machine = newMachine(t);
    machine.host.egressHook = false;
    await added(machine, 'a', '10.0.0.5');
    machine.host.applied.length = 0;
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(machine.host.applied, []);
  });
});

describe('on a kernel without labels of connections', () => {
  test('ADD sets up everything else, which CHECK finds complete; a repeated ADD changes nothing', async (t) => {
    const machine = newMachine(t);
    machine.host.labels = false;
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(machine.host.kernel.contents().filter(needsLabels), []);
    await check(machine, attachment, () => true);
    machine.host.applied.length = 0;
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(machine.host.applied, []);
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('it is asked for them by the first pod of each program alone', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'b', '10.0.0.6');
    assert.equal(machine.host.labelQuestions, 1);
    assert.ok(machine.host.kernel.contents().some(needsLabels));
  });
});

describe('the kernel is asked for the egress hook', () => {
  test('once, as long as what needs it is there', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    const attachment = await added(machine, 'b', '10.0.0.6');
    await check(machine, attachment, () => true);
    assert.equal(machine.host.egressHookQuestions, 1);
    assert.notDeepEqual(machine.host.kernel.contents().filter(needsEgressHook), []);
  });

  test('not at all for a pod that no exit is for', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5', { configuration: policyTo('drop') });
    assert.equal(machine.host.egressHookQuestions, 0);
  });

  test('again when somebody took it all away, so that CHECK names it', async (t) => {
    const machine = newMachine(t);
    const attachment = await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.transact([{ verb: 'delete', object: netdevTable }]);
    const ofExit = ['set sent', 'element 7 . eth1 of sent', 'base chain sent-eth1'];
    const missing = ['table netdev cni-egress', ...ofExit, 'chain unowned', 'base chain from-veth1'];
    await assert.rejects(
      check(machine, attachment, () => true),
      {
        message: missing.map((name) => `${name} is missing`).join('; '),
      },
    );
    machine.host.applied.length = 0;
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(
      machine.host.applied.flatMap(inWords),
      missing.map((name) => `${name} is missing`),
    );
  });
});
