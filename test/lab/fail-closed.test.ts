import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { egressEntry, type Json, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks, packetsFrom, packetsTo } from '../support/packets.ts';
import { world } from '../support/world.ts';

/** How an exit is lost. */
interface Loss {
  readonly what: string;
  readonly happens: (lab: Lab, node: LabNode) => Promise<void>;
  /** Whether the exit counts what it loses. What nobody takes on the other side of its interface has left for it. */
  readonly counted: boolean;
}

const losses: readonly Loss[] = [
  {
    what: 'interface is down',
    happens: (_, node) => node.machine.ip('link set eth1 down'),
    counted: true,
  },
  {
    what: 'interface is gone',
    happens: (lab, node) => node.machine.ip(`link set eth1 netns ${lab.back.host.name}`),
    counted: true,
  },
  {
    what: 'cable is pulled',
    happens: (lab) => lab.back.namespace.ip('link set node5 down'),
    counted: false,
  },
  {
    what: 'next hop is gone',
    happens: async (lab, node) => {
      await lab.back.host.ip('address flush dev eth0');
      await node.machine.ip('neigh flush dev eth1');
    },
    counted: false,
  },
  {
    what: 'addresses are not on this node any more',
    happens: (_, node) => node.machine.ip(...world.exitAddress.map((address) => `address delete ${address} dev eth1`)),
    counted: true,
  },
  {
    what: 'route is removed',
    happens: async (_, node) => {
      const table = /lookup (\d+)/.exec(await node.machine.must(['ip', 'rule', 'list', 'priority', '701']))?.[1];
      await node.machine.must(['ip', '-4', 'route', 'delete', 'default', 'table', `${table}`, 'metric', '1024']);
      await node.machine.must(['ip', '-6', 'route', 'delete', 'default', 'table', `${table}`, 'metric', '1024']);
    },
    counted: true,
  },
];

describe('when of an exit', labTest, () => {
  for (const { what, happens, counted } of losses) {
    test(`the ${what}, nothing leaves with another address`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      const capture = await node.capture();
      const sender = await pod.send(...world.service);
      await happens(lab, node);
      await setTimeout(300);
      await sender.stop();
      const before = await partnersStatus(node);
      assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
      const after = await partnersStatus(node);
      const steered = after.steered.packets - before.steered.packets;
      assert.ok(steered >= 2, 'both packets, and what ends the connections of the sender, were for the exit');
      assert.equal(after.dropped.packets - before.dropped.packets, counted ? steered : 0);
      const packets = await capture.stop();
      assert.deepEqual(leaks(packets), []);
      assert.notEqual(packetsTo(packets, ...world.service).length, 0, 'before the loss packets left');
    });
  }

  test('the addresses are gone and come back, nothing leaves in between', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.ip(...world.exitAddress.map((address) => `address delete ${address} dev eth1`));
    const capture = await node.capture();
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    assert.deepEqual(packetsTo(await capture.stop(), ...world.service), []);
    assert.equal((await status(node)).guarded.packets, 2);
    await node.machine.ip(...world.exitAddress.map((address) => `address add ${address} dev eth1`));
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
  });

  test('the interface comes back without its routes, it stays closed until ADD is repeated', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.ip('link set eth1 down', 'link set eth1 up');
    const [own, exit] = [node.addresses('eth1')[1], world.exitAddress[1]];
    await node.machine.ip(`address add ${own}/64 dev eth1`, `address add ${exit} dev eth1`); // the kernel drops only these
    const capture = await node.capture();
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    assert.deepEqual(packetsTo(await capture.stop(), ...world.service), []);
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
  });
});

describe('a pod', labTest, () => {
  test('with the exit "drop" does not leave, and it is counted', async () => {
    await using lab = await Lab.create();
    const { pod, node, capture } = await started(lab, {
      policies: [{ name: 'no', namespaces: ['default'], destinations: world.outside, exit: 'drop' }],
    });
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    assert.deepEqual(packetsTo(await capture.stop(), ...world.outside), []);
    assert.equal((await status(node)).dropped.packets, 2);
  });

  test('whose exit has no IPv6 address does not leave by IPv6, and it is counted', async () => {
    await using lab = await Lab.create();
    const onlyIPv4 = { ...partners, nextHop: world.back.gateway[0], addresses: [world.exitAddress[0]] };
    const { pod, node, capture } = await started(lab, { exits: [onlyIPv4] });
    assert.deepEqual(await pod.askEach('udp'), [world.exitAddress[0], 'nothing']);
    const packets = await capture.stop();
    assert.deepEqual(leaks(packets), []);
    assert.deepEqual(packetsTo(packets, '2001:db8::/32'), []);
    assert.deepEqual(packetsFrom(packets, 'fd00:10::/64'), []);
    assert.equal((await status(node)).dropped.packets, 1);
  });
});

async function started(lab: Lab, policyChanges: Json) {
  const node = await lab.node();
  await node.write({ egress: egressEntry(policyChanges) });
  const capture = await node.capture();
  return { node, capture, pod: await node.started() };
}

const status = async (node: LabNode) => JSON.parse((await node.egress('status', '--json')).stdout);

const partnersStatus = async (node: LabNode) =>
  (await status(node)).exits.find(({ name }: { name: string }) => name === partners.name);
