import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import type { OutsideObject } from '../../../src/datapath/objects.ts';
import { check } from '../../../src/node/check.ts';
import { del } from '../../../src/node/del.ts';
import {
  added,
  type FakeMachine,
  gatewayConfiguration,
  newMachine,
  newNode,
  policyTo,
  stateOf,
} from '../support/fake-machine.ts';

const configuration = gatewayConfiguration();
const changes = { configuration };

/** What is outside of nftables of one kind. */
const outside = <K extends OutsideObject['kind']>({ host }: FakeMachine, kind: K) =>
  host.kernel.outside.list().filter((object): object is Extract<typeof object, { kind: K }> => object.kind === kind);

describe('a pod whose exit has a gateway', () => {
  test('is set up with a tunnel that CHECK finds complete, and leaves nothing', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    const before = stateOf(machine);
    const attachment = await added(machine, 'a', '10.0.0.5', changes);
    assert.equal(machine.host.kernel.outside.tunnel?.local, '172.18.0.5');
    assert.equal(machine.host.readSysctl('net/ipv4/conf/egress0/rp_filter'), '2');
    await check(machine, attachment, () => true);
    await del(machine, attachment, []);
    assert.deepEqual(stateOf(machine), before);
  });

  test('leaves the filters of all interfaces of the node as they are', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    await added(machine, 'a', '10.0.0.5', changes);
    assert.deepEqual(machine.store.loadNode()?.sysctls, {});
    assert.equal(machine.host.readSysctl('net/ipv4/conf/eth1/rp_filter'), '1');
  });

  test('is set up no more by a second pod, but for its elements and the filter at its interface', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    await added(machine, 'a', '10.0.0.5', changes);
    machine.host.applied.length = 0;
    await added(machine, 'b', '10.0.0.6', changes);
    assert.deepEqual(
      machine.host.applied.map(({ object }) =>
        object.kind === 'element' ? object.set : 'name' in object ? object.name : object.kind,
      ),
      ['ingressMark', 'from-veth-b', 'answered4', 'checked4', 'ends4', 'steered4', 'programs4', 'pods4'],
    );
  });

  test('takes the tunnel with it when it is the last of those, where other pods are', async (t) => {
    const [machine, fresh] = [newNode(t, '172.18.0.5'), newNode(t, '172.18.0.5')];
    const local = { configuration: { ...configuration, policies: policyTo('partners').policies } };
    await added(machine, 'b', '10.0.0.6', local);
    await added(fresh, 'b', '10.0.0.6', local);
    await del(machine, await added(machine, 'a', '10.0.0.5', changes), []);
    assert.deepEqual(stateOf(machine), stateOf(fresh));
  });

  test('fails with nothing left on a node that the gateways would not know', async (t) => {
    const machine = newNode(t, '172.18.0.99');
    const before = stateOf(machine);
    await assert.rejects(
      added(machine, 'a', '10.0.0.5', changes),
      (error) => error instanceof EgressError && error.code === 'node-address',
    );
    assert.deepEqual(stateOf(machine), before);
  });
});

describe('a tunnel that somebody changed', () => {
  test('is told by CHECK, property by property and object by object', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    const attachment = await added(machine, 'a', '10.0.0.5', changes);
    const { kernel } = machine.host;
    const [device] = outside(machine, 'tunnel');
    const [entry] = outside(machine, 'forwarding');
    assert.ok(device && entry);
    kernel.outside.setUp({ ...device, mtu: 1500 });
    kernel.outside.takeDown(entry);
    await assert.rejects(
      check(machine, attachment, () => true),
      {
        message:
          'tunnel device egress0: MTU is 1500, expected 1450; ' +
          'forwarding entry 02:e6:ac:12:00:06 of egress0 to 172.18.0.6 is missing',
      },
    );
  });

  test('is mended by the next ADD, also when that takes a new device for which nothing is there', async (t) => {
    const machine = newNode(t, '172.18.0.5');
    await added(machine, 'a', '10.0.0.5', changes);
    const before = stateOf(machine);
    const [device] = outside(machine, 'tunnel');
    assert.ok(device);
    const kept = machine.host.kernel.outside.list();
    machine.host.kernel.outside.takeDown(device);
    machine.host.kernel.outside.setUp({ ...device, learning: true });
    for (const object of kept) if (object.kind !== 'tunnel') machine.host.kernel.outside.setUp(object);
    await added(machine, 'a', '10.0.0.5', changes);
    assert.deepEqual(stateOf(machine), before);
  });
});

test('a node without exits that have gateways never asks where the tunnel would end', async (t) => {
  const machine = newMachine(t);
  machine.host.listAllAddresses = () => assert.fail('asked for addresses');
  machine.host.defaultRoute = () => assert.fail('asked for the default route');
  await added(machine, 'a', '10.0.0.5');
});
