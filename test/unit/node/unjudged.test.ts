import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Family } from '../../../src/base/address.ts';
import { unjudgedId } from '../../../src/datapath/layout.ts';
import { lookupOf } from '../../../src/datapath/tables.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import { repair } from '../../../src/node/repair.ts';
import { added, type FakeMachine, newMachine, policyTo } from '../support/fake-machine.ts';

/** What leads packets that nothing has judged nowhere, in a family: rules, and routes. */
function closing({ host, store }: FakeMachine, family: Family): readonly string[] {
  const table = (store.loadNode()?.routeTable ?? 0) + unjudgedId;
  return host.kernel.contents().flatMap((object) => {
    if (object.kind === 'rule' && object.family === family && lookupOf(object) === table) return ['rule'];
    return object.kind === 'route' && object.family === family && object.table === table ? [object.type] : [];
  });
}

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
