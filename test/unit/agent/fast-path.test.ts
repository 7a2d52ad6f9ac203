import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FastPathKeeper } from '../../../src/agent/fast-path.ts';
import { type Machine, silent } from '../../../src/node/machine.ts';

const fast = { name: 'partners', id: 7, device: 'eth1', ways: [], fastPath: true };
const pod = (address: string, device: string) => ({
  ...{ addresses: [address], sources: { devices: [device], others: [] } },
  outline: [{ exit: 'partners' }],
});

/** The process, as a list of what it was told. */
function beside() {
  const orders: unknown[] = [];
  let tell: (status: unknown) => void = () => assert.fail('nobody listens');
  let changed = 0;
  let isEnded = false;
  const keeper = new FastPathKeeper({
    log: silent,
    start: (told) => {
      tell = told;
      isEnded = false;
      return {
        want: ({ fast }) => void orders.push(fast),
        stop: async () => {
          isEnded = true;
        },
      };
    },
    changed: () => changed++,
  });
  const machine = (pods: readonly object[], exits: readonly object[] = [fast]) =>
    ({ store: { loadNode: () => ({ fwmark: 0x40000000, exits }), list: () => pods } }) as unknown as Machine;
  const says = (status: object) => tell({ fast: { ended: 0, orders: orders.length, ...status } });
  const seen = () => ({ changed, isEnded });
  return { keeper, orders, machine, says, seen };
}

const one = { fwmark: 0x40000000, devices: ['eth1', 'veth2'], pods: [{ address: '10.0.0.2', exit: 7 }], into: [] };

describe('the agent’s side of the fast path', () => {
  test('tells the process what has changed, and ends it with the last pod', async () => {
    const { keeper, orders, machine, says, seen } = beside();
    await keeper.follow(machine([]));
    assert.deepEqual([orders, keeper.status], [[], undefined]);
    for (let i = 0; i < 2; i++) await keeper.follow(machine([pod('10.0.0.2', 'veth2')]));
    assert.deepEqual(orders, [one]);
    says({ isOn: true });
    assert.deepEqual([keeper.status, seen().changed], [{ isOn: true }, 1]);
    await keeper.follow(machine([]));
    assert.deepEqual([keeper.status, seen().isEnded], [undefined, true]);
  });

  test('waits before a change until the process has nothing any more, and begins again behind it', async () => {
    const { keeper, orders, machine, says, seen } = beside();
    await keeper.follow(machine([pod('10.0.0.2', 'veth2')]));
    says({ isOn: true });
    let isHeld = false;
    const held = keeper.hold().then(() => {
      isHeld = true;
    });
    says({ isOn: false, orders: 1 }); // of a change before that
    await Promise.resolve();
    assert.equal(isHeld, false);
    says({ isOn: false });
    await held;
    assert.deepEqual([orders, keeper.status], [[one, null], { isOn: true }]);
    await keeper.hold();
    await keeper.follow(machine([pod('10.0.0.2', 'veth2')]));
    says({ isOn: true });
    assert.deepEqual([orders, seen().changed], [[one, null, one], 1]);
  });

  test('ends a process that does not answer', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const { keeper, machine, says, seen } = beside();
    await keeper.follow(machine([pod('10.0.0.2', 'veth2')]));
    says({ isOn: true });
    const held = keeper.hold();
    context.mock.timers.tick(1_000);
    await held;
    assert.equal(seen().isEnded, true);
  });

  test('tries no kernel again that has none, as long as pods would use it', async () => {
    const { keeper, orders, machine, says, seen } = beside();
    const pods = [pod('10.0.0.2', 'veth2')];
    await keeper.follow(machine(pods));
    says({ isOn: false, why: 'this kernel has no flowtables', isImpossible: true });
    for (let i = 0; i < 2; i++) await keeper.follow(machine(pods));
    assert.deepEqual([orders.length, seen().isEnded], [1, true]);
    assert.deepEqual(keeper.status, { isOn: false, why: 'this kernel has no flowtables' });
  });
});
