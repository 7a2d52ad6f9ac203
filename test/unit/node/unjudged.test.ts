import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Family } from '../../../src/base/address.ts';
import { markOf } from '../../../src/base/attachment.ts';
import { unjudgedId } from '../../../src/datapath/layout.ts';
import { ofKind } from '../../../src/datapath/objects.ts';
import { lookupOf } from '../../../src/datapath/tables.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { repair } from '../../../src/node/repair.ts';
import { added, configuration, type FakeMachine, hostEnd, newMachine, policyTo } from '../support/fake-machine.ts';

/** What leads packets that nothing has judged nowhere, in a family: rules, and routes. */
function closing({ host, store }: FakeMachine, family: Family): readonly string[] {
  const table = (store.loadNode()?.routeTable ?? 0) + unjudgedId;
  return host.kernel.contents().flatMap((object) => {
    if (object.kind === 'rule' && object.family === family && lookupOf(object) === table) return ['rule'];
    return object.kind === 'route' && object.family === family && object.table === table ? [object.type] : [];
  });
}

/** Interfaces that mark what comes in by them, and with which bits. */
const marks = ({ host }: FakeMachine): Readonly<Record<string, number>> =>
  Object.fromEntries(ofKind(host.kernel.contents(), 'ingressMark').map(({ device, value }) => [device, value]));

const toldOnce = 'pods are steered, but what a flushed ruleset lets through is not held back';

const closed = ['throw', 'unreachable', 'rule', 'rule'];

describe('what nothing has judged', () => {
  for (const [first, second] of [
    ['10.0.0.5', 'fd00::5'],
    ['fd00::5', '10.0.0.5'],
  ] as const) {
    for (const exit of ['drop', 'partners', 'backup']) {
      test(`goes nowhere in both families when ${second} comes behind ${first}, with the exit ${exit}`, async (t) => {
        const machine = newMachine(t);
        const changes = { configuration: policyTo(exit, ['203.0.113.0/24', '2001:db8::/32']) };
        const one = await added(machine, 'a', first, changes);
        const other = await added(machine, 'b', second, changes);
        const both = { 4: closed, 6: closed };
        const now = () => ({ 4: closing(machine, 4), 6: closing(machine, 6) });
        assert.deepEqual(now(), both);
        for (const attachment of [one, other]) await check(machine, attachment, () => true);
        await repair(machine);
        assert.deepEqual(now(), both);
        await del(machine, other, []);
        await check(machine, one, () => true);
        await del(machine, one, []);
        assert.deepEqual(now(), { 4: [], 6: [] });
      });
    }
  }
});

describe('the mark at a pod’s interface', () => {
  test('goes with a pod whose record is lost, and that runs on', async (t) => {
    const machine = newMachine(t);
    const [lost, kept] = [await added(machine, 'a', '10.0.0.5'), await added(machine, 'b', '10.0.0.6')];
    loseRecord(machine, 'a');
    await del(machine, lost, []);
    assert.deepEqual(Object.keys(marks(machine)), [hostEnd('b')]);
    loseRecord(machine, 'b');
    await del(machine, kept, []);
    assert.deepEqual(marks(machine), {});
  });

  test('goes by the chain at the interface, also when nobody knows the pod any more', async (t) => {
    const machine = newMachine(t);
    const [lost, last] = [await added(machine, 'a', '10.0.0.5'), await added(machine, 'b', '10.0.0.6')];
    loseRecord(machine, 'a');
    const { kernel } = machine.host;
    kernel.transact(
      kernel.podElements().flatMap((object) => (object.comment === markOf(lost) ? [{ verb: 'delete', object }] : [])),
    );
    await del(machine, last, []);
    assert.deepEqual(Object.keys(marks(machine)), [hostEnd('b')], 'which goes with its pod');
  });

  test('of a pod with a record goes with the interface, and nobody asks for it', async (t) => {
    const machine = newMachine(t);
    const one = await added(machine, 'a', '10.0.0.5');
    machine.host.applied.length = 0;
    await del(machine, one, []);
    assert.deepEqual(
      machine.host.applied.filter(({ object }) => object.kind === 'ingressMark'),
      [],
    );
  });

  test('that the kernel refuses is told of once, keeps nothing else, and is tried with each change', async (t) => {
    const machine = newMachine(t);
    machine.host.kernel.refusesMarks = true;
    const one = await added(machine, 'a', '10.0.0.5');
    assert.deepEqual(
      machine.host.calls.filter((call) => call === 'apply'),
      ['apply'],
      'no second look',
    );
    assert.deepEqual(machine.warnings, [toldOnce]);
    assert.equal(machine.store.loadNode()?.unmarked, true);
    await check(machine, one, () => true);
    await added(machine, 'b', '10.0.0.6');
    assert.deepEqual(machine.warnings, [toldOnce]);
    machine.host.kernel.refusesMarks = false;
    await added(machine, 'a', '10.0.0.5');
    assert.deepEqual([Object.keys(marks(machine)), machine.store.loadNode()?.unmarked], [[hostEnd('a')], undefined]);
  });

  test('changes with the bit of the mark for all pods, also when somebody else comes between', async (t) => {
    const machine = newMachine(t);
    for (const [name, address] of [
      ['a', '10.0.0.5'],
      ['b', '10.0.0.6'],
    ] as const)
      await added(machine, name, address);
    machine.host.interferences = 1;
    await added(machine, 'c', '10.0.0.7', { configuration: configuration({ fwmark: '0x20000000' }) });
    const value = 0x20000000 + unjudgedId;
    assert.deepEqual(marks(machine), { [hostEnd('a')]: value, [hostEnd('b')]: value, [hostEnd('c')]: value });
    machine.host.kernel.refusesMarks = true;
    await added(machine, 'c', '10.0.0.7');
    assert.deepEqual([marks(machine), machine.store.loadNode()?.fwmark], [{}, 0x40000000], 'none with the earlier bit');
    assert.ok(machine.warnings.includes(toldOnce));
  });
});

const loseRecord = ({ dataDir }: FakeMachine, containerId: string): void =>
  rmSync(join(dataDir, 'attachments', `pods+${containerId}+eth0.json`));
