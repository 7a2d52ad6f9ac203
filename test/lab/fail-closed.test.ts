import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { egressEntry, type Json, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks, packetsFrom, packetsTo } from '../support/packets.ts';
import { sentMore } from '../support/pod.ts';
import { world } from '../support/world.ts';

/** How an exit is lost. */
interface Loss {
  readonly what: string;
  readonly happens: (lab: Lab, node: LabNode) => Promise<void>;
}

const losses: readonly Loss[] = [
  {
    what: 'interface is down',
    happens: (_, node) => node.machine.ip('link set eth1 down'),
  },
  {
    what: 'interface is gone',
    happens: (lab, node) => node.machine.ip(`link set eth1 netns ${lab.back.host.name}`),
  },
  {
    what: 'cable is pulled',
    happens: (lab) => lab.back.namespace.ip('link set node5 down'),
  },
  {
    what: 'next hop is gone',
    happens: async (lab, node) => {
      await lab.back.host.ip('address flush dev eth0');
      await node.machine.ip('neigh flush dev eth1');
    },
  },
  {
    what: 'addresses are not on this node any more',
    happens: (_, node) => node.machine.ip(...world.exitAddress.map((address) => `address delete ${address} dev eth1`)),
  },
  {
    what: 'route is removed',
    happens: async (_, node) => {
      const table = /lookup (\d+)/.exec(await node.machine.must(['ip', 'rule', 'list', 'priority', '701']))?.[1];
      await node.machine.must(['ip', '-4', 'route', 'delete', 'default', 'table', `${table}`, 'metric', '1024']);
      await node.machine.must(['ip', '-6', 'route', 'delete', 'default', 'table', `${table}`, 'metric', '1024']);
    },
  },
];

describe('when of an exit', labTest, () => {
  for (const { what, happens } of losses) {
    test(`the ${what}, nothing leaves with another address, and all is counted`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      const capture = await node.capture();
      const sender = await pod.send(...world.service);
      await happens(lab, node);
      await sentMore(sender);
      await sender.stop();
      const before = await exitStatus(node);
      assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
      const after = await exitStatus(node);
      const steered = after.steered.packets - before.steered.packets;
      assert.ok(steered >= 2, 'both packets, and what ends the connections of the sender, were for the exit');
      assert.equal(after.dropped.packets - before.dropped.packets, steered);
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

describe('what an exit counts as left', labTest, () => {
  test('goes on when the next hop is back, and what was dropped stays so', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const [hop4, hop6] = world.back.gateway;
    await lab.back.host.ip('address flush dev eth0');
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    await untilNobodyWaits(node);
    assert.deepEqual(await packetCounts(node), { steered: 2, left: 0, dropped: 2 });
    await lab.back.host.ip(`address add ${hop4}/24 dev eth0`, `address add ${hop6}/64 dev eth0`);
    await node.machine.ip('neigh flush dev eth1 nud failed');
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.deepEqual(await packetCounts(node), { steered: 4, left: 2, dropped: 2 });
  });

  test('has a large UDP datagram once, however many fragments leave', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const capture = await node.capture();
    for (const [i, address] of world.service.entries()) {
      const { stdout } = await pod.run('ask.py', 'udp', address, '8080', '4000');
      assert.equal(stdout.split(' ')[0], world.exitAddress[i]);
    }
    assert.equal(packetsTo(await capture.stop(), ...world.service).length, 6);
    assert.deepEqual(await packetCounts(node), { steered: 2, left: 2, dropped: 0 });
  });

  test('has a packet once that leaves by a bridge over the interface of another exit', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const bridged = { name: 'bridged', interface: 'over', nextHop: '192.168.7.1', addresses: ['192.168.7.5'] };
    const toBridged = { name: 'a', namespaces: ['other'], destinations: ['203.0.113.9/32'], exit: 'bridged' };
    const policies = [toBridged, ...policy.policies];
    await node.write({ egress: egressEntry({ exits: [partners, bridged], policies }) });
    await node.started();
    // Only now: an exit whose interface is a port of a bridge already is refused.
    await lab.back.host.ip('address add 192.168.7.1/24 dev eth0');
    await node.machine.ip('link add over type bridge', 'link set eth1 master over', 'link set over up');
    await node.machine.ip('address add 192.168.7.5/24 dev over');
    const pod = await node.started('other');
    assert.equal(await pod.ask('udp', '203.0.113.9'), '192.168.7.5');
    assert.deepEqual(await packetCounts(node, 'bridged'), { steered: 1, left: 1, dropped: 0 });
    assert.deepEqual(await packetCounts(node, 'partners'), { steered: 0, left: 0, dropped: 0 });
  });

  test('is counted at an interface that was made anew, once ADD is repeated', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.ip('link delete eth1');
    const [four, six] = node.addresses('eth1');
    await lab.back.plug(node.machine, 'node5', 'eth1', [`${four}/24`, `${six}/64`, ...world.exitAddress]);
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.equal((await node.plugin('CHECK', { pod })).stdout, '');
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.deepEqual(await packetCounts(node), { steered: 2, left: 2, dropped: 0 });
  });

  test('is not in the way of a DEL after the interface is gone', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.ip('link delete eth1');
    assert.deepEqual(await node.plugin('DEL', { pod }), { code: 0, stdout: '', stderr: '', json: undefined });
    assert.doesNotMatch(await node.machine.must(['nft', 'list', 'tables']), /cni-egress/);
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

const exitStatus = async (node: LabNode, exit: string = partners.name) =>
  (await status(node)).exits.find(({ name }: { name: string }) => name === exit);

/** How many packets an exit has counted. */
async function packetCounts(node: LabNode, exit?: string) {
  const { steered, left, dropped } = await exitStatus(node, exit);
  return { steered: steered.packets, left: left.packets, dropped: dropped.packets };
}

/** The kernel keeps the last packets to a next hop for as long as it asks for it. */
async function untilNobodyWaits(node: LabNode): Promise<void> {
  while (/INCOMPLETE|PROBE|DELAY/.test(await node.machine.must(['ip', 'neigh', 'show', 'dev', 'eth1']))) {
    await setTimeout(100);
  }
}
