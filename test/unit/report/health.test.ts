import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { bringUp } from '../../../src/gateway/gateway.ts';
import { readStatus } from '../../../src/report/status.ts';
import { recordVersion } from '../../../src/store/migration.ts';
import {
  added,
  type FakeMachine,
  gatewayConfiguration,
  held,
  newMachine,
  newNode,
  noCounters,
} from '../support/fake-machine.ts';

async function withPod(t: TestContext): Promise<FakeMachine> {
  const machine = newMachine(t);
  await added(machine, 'a', '10.0.0.5');
  machine.host.counters = noCounters;
  return machine;
}

async function healthIn(machine: FakeMachine, runs = false) {
  const [exit] = (await readStatus(machine, undefined, () => runs)).exits;
  return [exit?.health, ...(exit?.why ?? [])];
}

describe('the health of an exit', () => {
  test('is that it works where nothing is known against it', async (t) => {
    assert.deepEqual(await healthIn(await withPod(t)), ['works']);
  });

  const faults: readonly (readonly [string, (machine: FakeMachine) => void, string])[] = [
    [
      'its address is on no interface any more',
      ({ host }) => host.linkAddresses.set('eth1', []),
      '192.168.0.245 is not an address of this node',
    ],
    [
      'its next hop does not answer',
      ({ host }) => host.neighbours.set('192.168.0.1', 'failed'),
      'next hop 192.168.0.1 does not answer (failed)',
    ],
    [
      'its interface is down',
      ({ host }) => host.links.set('eth1', { index: 2, name: 'eth1', up: false, mtu: 1500 }),
      'interface eth1 is down',
    ],
    ['the ruleset was flushed', ({ host }) => host.kernel.deleteTables(), 'table inet cni-egress is missing'],
    [
      'the node forwards nothing that pods send',
      ({ host }) => host.kernel.sysctls.set('net/ipv4/conf/veth1/forwarding', '0'),
      'net/ipv4/conf/veth1/forwarding is 0, so the node forwards nothing that comes in by veth1',
    ],
  ];
  for (const [what, plant, why] of faults) {
    test(`is that it cannot be used, and why, when ${what}`, async (t) => {
      const machine = await withPod(t);
      machine.host.linkAddresses.set('veth1', [held('10.0.0.1')]);
      plant(machine);
      const [health, first] = await healthIn(machine);
      assert.deepEqual([health, first], ['fails', why]);
    });
  }

  test('of one that leaves from a gateway is unknown until an agent asks the gateway, and then as that answers', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    await added(machine, 'a', '10.0.0.5', { configuration: gatewayConfiguration() });
    machine.host.counters = noCounters;
    assert.deepEqual(await healthIn(machine, true), ['unknown']);
    const saveAnswer = (answers: boolean) => {
      const since = '2026-11-28T18:50:34.123Z';
      const gateways = [{ exit: 'shared', gateway: '172.18.0.6', answers, since }];
      machine.store.agent.save({ version: recordVersion, startedAt: since, lookedAt: since, failures: [], gateways });
    };
    saveAnswer(true);
    assert.deepEqual([await healthIn(machine, true), await healthIn(machine, false)], [['works'], ['unknown']]);
    saveAnswer(false);
    assert.deepEqual(await healthIn(machine, true), ['fails', 'gateway 172.18.0.6 does not answer']);
  });

  test('of one that another gateway has is that this one is ready', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    await bringUp(machine, gatewayConfiguration());
    machine.host.counters = noCounters;
    assert.deepEqual(await healthIn(machine), ['works']);
    const elected = { by: 'vrrp', addresses: ['192.0.2.50'], since: '2026-11-28T18:50:34.123Z' } as const;
    machine.store.agent.saveElections({ shared: { ...elected, holds: false, gateway: '172.18.0.7' } });
    machine.host.linkAddresses.set('eth1', []);
    assert.deepEqual(await healthIn(machine), ['standby']);
  });
});
