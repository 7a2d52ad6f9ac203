import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leadExits, round } from '../../../src/agent/round.ts';
import type { Change } from '../../../src/datapath/difference.ts';
import { bringUp } from '../../../src/gateway/gateway.ts';
import type { Adoption } from '../../../src/runtimes/adopt.ts';
import {
  added,
  configuration,
  type FakeMachine,
  gatewayConfiguration,
  newMachine,
  newNode,
} from '../support/fake-machine.ts';

const adopt = async () => [];

/** The node's end of a pod's link. */
const plug = ({ host }: FakeMachine, i: number) =>
  host.links.set(`veth-${i}`, { index: 1_000 + i, name: `veth-${i}`, up: true, mtu: 1500, type: 'veth' });

describe('a round', () => {
  test('takes no lock on a node that is right', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.store.lockInAnyCase = () => assert.fail('an ADD would wait');
    machine.store.lock = () => assert.fail('an ADD would wait');
    assert.deepEqual(await round({ machine, configuration: configuration(), adopt }), {
      ...{ changes: [], adopted: [], collected: [], refused: [], failures: [], isWhole: true, isConfigured: true },
    });
  });

  test('gives all pods of a program their way back in the first transaction when the table is gone, before anything is looked at', async (t) => {
    const machine = newMachine(t);
    for (const i of [5, 6, 7]) {
      plug(machine, i);
      await added(machine, `${i}`, `10.0.0.${i}`);
    }
    machine.host.kernel.deleteTables();
    const [looks, seen] = [[] as number[], machine.host.observe.bind(machine.host)];
    machine.host.observe = async (...question) => {
      looks.push(machine.host.calls.filter((call) => call === 'apply').length);
      return await seen(...question);
    };
    const before = machine.host.calls.filter((call) => call === 'apply').length;
    const from = machine.host.applied.length;
    machine.host.look = () => assert.fail('nothing has to be looked at to know that all is gone');
    const { changes, failures } = await round({ machine, configuration: configuration(), adopt });
    assert.deepEqual([looks.filter((done) => done === before).length, failures], [1, []]);
    const first = machine.host.applied.slice(from);
    const keys = (all: readonly Change[]) =>
      all.flatMap(({ object }) => (object.kind === 'element' && object.set === 'pods4' ? [object.key] : []));
    assert.deepEqual(keys(first).toSorted(), ['0a000005', '0a000006', '0a000007']);
    assert.deepEqual(keys(changes), keys(first)); // and each is told once
  });

  test('puts back what is on record where nothing can be written down', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.deleteTables();
    machine.store.lock = async () => {
      throw Object.assign(new Error('EROFS: read-only file system, open'), { syscall: 'open' });
    };
    machine.store.saveNode = () => assert.fail('nothing is to be written');
    const { failures, isWhole } = await round({ machine, configuration: configuration(), adopt });
    assert.deepEqual([failures, isWhole, machine.host.kernel.hasTable], [[], true, true]);
  });

  test('puts back what is on record when what is new cannot be written down', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'a', '10.0.0.5');
    machine.host.kernel.deleteTables();
    machine.store.saveNode = () => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { syscall: 'write' });
    };
    const [exit] = configuration().exits;
    assert.ok(exit);
    const changed = { ...configuration(), exits: [{ ...exit, nextHops: { 4: '192.168.0.2' } }] };
    const { changes, failures, isWhole, isConfigured } = await round({ machine, configuration: changed, adopt });
    assert.deepEqual([failures, isWhole, isConfigured], [['ENOSPC: no space left on device, write'], false, false]);
    assert.ok(changes.length > 0 && machine.host.kernel.hasTable);
    assert.deepEqual(machine.store.loadNode()?.exits[0]?.ways[0]?.via, '192.168.0.1');
  });

  test('of which a part fails does the others, and says each failure once', async (t) => {
    const machine = newMachine(t);
    await added(machine, 'dead', '10.0.0.9');
    machine.host.links.delete('veth-dead');
    machine.store.loadMoves = () => {
      throw new Error('EIO');
    };
    const failing = async () => {
      throw new Error('EIO');
    };
    const { collected, failures, isWhole } = await round({ machine, configuration: configuration(), adopt: failing });
    assert.deepEqual([collected, failures, isWhole], [['pods/dead/eth0'], ['EIO'], false]);
  });

  test('tells pods that were given something from those that could not be, and leaves out all others', async (t) => {
    const pod = (name: string, more: Partial<Adoption>): Adoption => ({
      ...{ network: 'pods', containerId: name, ifname: 'eth0', exits: [] },
      ...{ pod: { namespace: 'default', name }, ...more },
    });
    const all = [
      pod('given', { exits: ['partners'] }),
      pod('taken', { outdated: 'no policy' }),
      pod('plain', {}),
      pod('refused', { exits: ['partners'], problem: 'no port' }),
      { ...pod('alone', { problem: 'no port' }), pod: {} },
    ];
    const { adopted, failures } = await round({
      ...{ machine: newMachine(t), configuration: configuration(), adopt: async () => all },
    });
    assert.deepEqual(adopted, all.slice(0, 2));
    assert.deepEqual(failures, ['pod default/refused: no port', 'pod alone: no port']);
  });

  test('begins to serve no exit while nothing is to be begun, and goes on to serve those of before', async (t) => {
    const machine = newNode(t, '172.18.0.6');
    const surroundings = { machine, configuration: gatewayConfiguration(), adopt, startsNothing: true };
    assert.deepEqual((await round(surroundings)).changes, []);
    await bringUp(machine, gatewayConfiguration());
    machine.host.kernel.deleteTables();
    assert.ok((await round(surroundings)).changes.length > 0);
    assert.deepEqual(machine.store.loadNode()?.gateway?.served, [50]);
  });
});

describe('an exit that came to a gateway with pods of its own', () => {
  test('is served there before they are looked at, whatever their number', async (t) => {
    const [first, second] = ['172.18.0.6', '172.18.0.7'];
    const looks = async (pods: number) => {
      const machine = newNode(t, second);
      const elected = (holds: boolean) => {
        const exit = { by: 'vrrp', addresses: ['192.0.2.50'], since: '' } as const;
        machine.store.agent.saveElections({ shared: { ...exit, holds, gateway: holds ? second : first } });
      };
      elected(false);
      for (let i = 1; i <= pods; i++) {
        plug(machine, i);
        await added(machine, `${i}`, `10.0.2.${i}`, { configuration: gatewayConfiguration() });
      }
      await round({ machine, configuration: gatewayConfiguration(), adopt });
      elected(true);
      let seen = 0;
      const observe = machine.host.observe.bind(machine.host);
      machine.host.observe = async (node, needs, options) => {
        seen++;
        assert.equal(needs.attachment, undefined);
        return await observe(node, needs, options);
      };
      await leadExits({ machine, configuration: gatewayConfiguration() });
      assert.deepEqual(machine.store.loadNode()?.gateway?.served, [50]);
      const served = machine.host.kernel.contents().filter((one) => one.kind === 'element' && one.set === 'served');
      assert.equal(served.length, 1);
      return seen;
    };
    assert.equal(await looks(6), await looks(1));
  });
});
