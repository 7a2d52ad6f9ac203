import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { egressEntry, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsFrom } from '../support/packets.ts';
import type { Packet } from '../support/pcap.ts';
import { ask, type Pod } from '../support/pod.ts';
import { world } from '../support/world.ts';

/** What kube-proxy does with a Service of which the pod is an endpoint on this node. */
async function announceService(node: LabNode, pod: Pod): Promise<void> {
  const [four, six] = world.exitAddress;
  for (const [tables, address, to] of [
    ['iptables', four, pod.addresses[0]],
    ['ip6tables', six, `[${pod.addresses[1]}]`],
  ] as const) {
    const match = ['-d', `${address}`, '-p', 'tcp', '--dport', '8080', '-j', 'DNAT', '--to-destination', `${to}:8080`];
    await node.machine.must([tables, '-t', 'nat', '-A', 'PREROUTING', ...match]);
  }
}

/** Asks from behind the router of the exit's network: with the addresses that all of the outside has there. */
async function askFromBehind(lab: Lab, protocol: 'tcp' | 'udp', addresses: readonly string[], port: number) {
  const { host } = lab.back;
  const [four, six] = world.service;
  await host.ip(`address replace ${four}/32 dev lo`, `address replace ${six}/128 dev lo nodad`);
  for (const [index, address] of addresses.entries()) {
    const [length, family] = address.includes(':') ? [128, '-6'] : [32, '-4'];
    const via = index === 0 ? world.back.gateway[0] : world.back.gateway[1];
    assert.ok(via);
    await host.must([
      'ip',
      family,
      'route',
      'replace',
      `${address}/${length}`,
      'dev',
      'eth0',
      'src',
      `${index === 0 ? four : six}`,
    ]);
  }
  return await Promise.all(addresses.map((address) => ask(host, protocol, address, port)));
}

const seen = (packets: readonly Packet[], uplink: 'eth0' | 'eth1') =>
  packetsFrom(packets, ...world.exitAddress).filter((packet) => packet.interface === uplink);

describe('who asks an exit’s address', labTest, () => {
  // kube-vip's own case: the address that it announces for a Service is the one that the pods leave with.
  test('that a Service has, from behind the exit’s router, is answered by the exit’s interface', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await pod.serve();
    await announceService(node, pod);
    const capture = await node.capture();
    assert.deepEqual(await askFromBehind(lab, 'tcp', world.exitAddress, 8080), world.service);
    const packets = await capture.stop();
    assert.deepEqual(seen(packets, 'eth0'), []);
    assert.notEqual(seen(packets, 'eth1').length, 0);
    await node.end(pod);
  });

  test('that a Service has, as a pod of the node, is answered by the pod', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [pod, client] = [await node.started(), await node.started('elsewhere')];
    await pod.serve();
    await announceService(node, pod);
    assert.deepEqual(await client.askEach('tcp', world.exitAddress), client.addresses);
  });

  test('where nobody listens hears so by the exit’s interface', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    const capture = await node.capture();
    for (const protocol of ['tcp', 'udp'] as const)
      assert.deepEqual(await askFromBehind(lab, protocol, world.exitAddress, 9), ['nothing', 'nothing']);
    const packets = await capture.stop();
    assert.deepEqual(seen(packets, 'eth0'), []);
    assert.equal(seen(packets, 'eth1').filter(({ ownReset }) => ownReset).length, 2);
  });

  test('on a connection whose pod is gone gets a reset by the exit’s interface', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    const pod = await node.started();
    const sender = await pod.send(...world.service);
    await setTimeout(300);
    const capture = await node.capture();
    await node.end(pod);
    await sender.stop();
    await setTimeout(300);
    assert.deepEqual(seen(await capture.stop(), 'eth0'), []);
  });

  test('of two exits with the address is still answered when the first has no pod any more', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const exits = [
      { ...partners, id: 7 },
      { ...partners, name: 'others', id: 8 },
    ];
    const policies = ['default', 'others'].map((namespace, i) => ({
      ...policy.policies[0],
      ...{ name: namespace, namespaces: [namespace], exit: exits[i]?.name },
    }));
    await node.write({ egress: egressEntry({ exits, policies }) });
    const [first, second] = [await node.started('default'), await node.started('others')];
    await second.serve();
    await announceService(node, second);
    assert.deepEqual(await askFromBehind(lab, 'tcp', world.exitAddress, 8080), world.service);
    await node.end(first);
    assert.deepEqual(await askFromBehind(lab, 'tcp', world.exitAddress, 8080), world.service);
    assert.equal((await node.egress('check')).code, 0, 'and all is as the records say');
    await node.end(second);
    assert.equal((await node.machine.run(['nft', 'list', 'table', 'inet', 'cni-egress'])).code, 1);
  });
});
