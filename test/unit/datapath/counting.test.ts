import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { countedTogether, isReset } from '../../../src/datapath/counting.ts';
import { describe as inWords } from '../../../src/datapath/describe.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { difference, keyOf } from '../../../src/datapath/difference.ts';
import { withoutEgressHook } from '../../../src/datapath/egress-counters.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import * as layout from '../../../src/datapath/layout.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import { node } from './samples.ts';

const exit = (id: number, device: string): ResolvedExit => ({
  ...{ name: `exit${id}`, id, device },
  ways: [{ family: 4, addresses: [`192.0.2.${id}`, `192.0.2.1${id}`] }],
});
const exits = [exit(7, 'eth1'), exit(8, 'eth1'), exit(9, 'eth2')];
const wanted = desired(node, { exits, ports: [] });
const sent = (id: number, device: string) => `netdev element sent ${layout.exitDeviceKey(id, device)}`;

/** Keys of what begins to count anew when the kernel lacks what is lost, beside what is missing. */
function resets(isLost: (key: string) => boolean, all: readonly HostObject[] = wanted): string[] {
  const changes = countedTogether(
    difference(
      all,
      all.filter((object) => !isLost(keyOf(object))),
    ),
    all,
  );
  return changes.filter(isReset).map(({ object }) => keyOf(object));
}

describe('what was steered to an exit, and what left, begin to be counted together:', () => {
  test('nothing begins anew when nothing changes, or something that counts nothing', () => {
    assert.deepEqual(
      resets(() => false),
      [],
    );
    assert.deepEqual(
      resets((key) => key === 'chain guard'),
      [],
    );
  });

  test('what left, when the chain of the exit is made anew', () => {
    assert.deepEqual(
      resets((key) => key === 'chain exit-7'),
      [sent(7, 'eth1')],
    );
    assert.deepEqual(
      resets((key) => !key.startsWith('netdev')),
      [sent(7, 'eth1'), sent(8, 'eth1'), sent(9, 'eth2')],
    );
  });

  test('what was steered, when the exit moves to another interface, so that another element counts', () => {
    assert.deepEqual(
      resets((key) => key === sent(9, 'eth2')),
      ['chain exit-9'],
    );
  });

  test('both, when the chain of an interface was not there to count', () => {
    assert.deepEqual(
      resets((key) => key === 'netdev chain sent-eth1').toSorted(),
      ['chain exit-7', 'chain exit-8', sent(7, 'eth1'), sent(8, 'eth1')].toSorted(),
    );
  });

  test('without the egress hook, all lanes of the exit', () => {
    const all = withoutEgressHook(wanted);
    const lane = (address: string) => `element lanes4 ${layout.laneKey(7, 'eth1', address)}`;
    assert.deepEqual(
      resets((key) => key === 'chain exit-7', all),
      [lane('192.0.2.7'), lane('192.0.2.17')],
    );
    assert.deepEqual(
      resets((key) => key === lane('192.0.2.7'), all),
      ['chain exit-7', lane('192.0.2.17')],
    );
  });

  test('in the same transaction, and nobody is told of something wrong', () => {
    const observed = wanted.filter((object) => keyOf(object) !== sent(9, 'eth2'));
    const changes = countedTogether(difference(wanted, observed), wanted);
    assert.deepEqual(
      planOf(changes).transaction.map(({ verb, object }) => `${verb} ${keyOf(object as HostObject)}`),
      [`add ${sent(9, 'eth2')}`, 'flush chain exit-9', 'add chain exit-9'],
    );
    assert.deepEqual(changes.flatMap(inWords), ['element 9 . eth2 of sent is missing']);
  });
});
