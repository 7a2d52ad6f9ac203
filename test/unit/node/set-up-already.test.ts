import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Configuration } from '../../../src/config/configuration.ts';
import { setUpAlready } from '../../../src/node/set-up-already.ts';
import { added, configuration, type FakeMachine, newMachine, policyTo, stateOf } from '../support/fake-machine.ts';

/** A second installation on the node of a machine: its data folder is another. */
const besides = (t: TestContext, { host }: FakeMachine): FakeMachine => ({ ...newMachine(t), host });

const exits = [{ name: 'mine', id: 7, interface: 'eth2', addresses: ['172.19.0.5'] }];
const policies = [{ name: 'mine', namespaces: ['*'], exit: 'mine' }];
const others: readonly (readonly [what: string, configuration: Configuration, error: RegExp])[] = [
  ['an exit’s id', configuration({ exits, policies }), /exit "mine" has the id 7, which is that of exit "partners"/],
  [
    'the mark',
    configuration({ fwmark: 0x20000000 }),
    /#\/fwmark: what is set up on this node has 0x40000000, got 0x20000000/,
  ],
  ['the routing tables', configuration({ routeTable: 600_000 }), /#\/routeTable: .* has 500000, got 600000/],
  ['the rules', configuration({ rulePriority: 30 }), /#\/rulePriority: .* got 30/],
];

describe('what is set up already and a record does not know', () => {
  test('is told by the kernel alone', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    await added(machine, 'b', '10.0.0.6', { configuration: policyTo('backup') });
    const { exits, ...numbers } = await setUpAlready(machine);
    const { fwmark, routeTable, rulePriority } = configuration();
    assert.deepEqual(numbers, { fwmark, routeTable, rulePriority });
    assert.deepEqual(exits.map(({ id, name }) => [id, name]).sort(), [
      [300, 'backup'],
      [7, 'partners'],
    ]);
  });

  for (const [what, configuration, error] of others) {
    for (const [whose, machineOf] of [
      ['of another data folder', besides],
      [
        'of a record that was lost',
        (_t: TestContext, machine: FakeMachine) => {
          rmSync(join(machine.dataDir, 'node.json'));
          return machine;
        },
      ],
    ] as const) {
      test(`keeps ADD from changing ${what} ${whose}`, async (t) => {
        const machine = newMachine(t);
        await added(machine, 'a', '10.0.0.5');
        const before = stateOf(machine).kernel;
        await assert.rejects(added(machineOf(t, machine), 'b', '10.0.0.6', { configuration }), error);
        assert.deepEqual(stateOf(machine).kernel, before);
      });
    }
  }

  test('is shared by who agrees with it', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    await added(besides(t, machine), 'b', '10.0.0.6');
    assert.equal(machine.host.kernel.podElements().filter(({ set }) => set === 'pods4').length, 2);
  });
});
