import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, internet, packetsOutside, replyPaths } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { packetsTo } from '../support/packets.ts';
import { protocols } from '../support/pod.ts';
import { world } from '../support/world.ts';

describe('a cluster without egress', labTest, () => {
  test('shows the addresses of its nodes, and the lab sees that these are leaks', async () => {
    await using lab = await Lab.create();
    const cluster = await withoutEgress(lab);
    const stop = await cluster.capture();
    const pods = await cluster.startedOnEach();
    const seen = await Promise.all(pods.map((pod) => pod.askEach('udp')));
    assert.deepEqual(
      seen,
      cluster.all.map((node) => node.addresses('eth0')),
    );
    const packets = await stop();
    const expected = cluster.all.flatMap((node) =>
      node
        .addresses('eth0')
        .map((source, i) => `node${node.number} eth0 udp ${source} > ${world.service[i]} port 8080`),
    );
    const leaks = expected.map((line) => `${line} (1 times)`);
    assert.deepEqual(cluster.leaks(packets, internet.addresses).toSorted(), leaks.toSorted());
    assert.equal(packetsOutside(packets).length, leaks.length);
  });

  test('has no leaks when the addresses that it shows are those of gateways and are allowed', async () => {
    await using lab = await Lab.create();
    const cluster = await withoutEgress(lab);
    const stop = await cluster.capture();
    const gatewayAddresses = cluster.gateways.flatMap((node) => node.addresses('eth0'));
    for (const gateway of cluster.gateways) await (await gateway.started()).askEach();
    const packets = await stop();
    assert.notDeepEqual(packetsOutside(packets), []);
    assert.deepEqual(cluster.leaks(packets, gatewayAddresses), []);
  });

  test('lets the front host reach its pods, and their answers come back', async () => {
    await using lab = await Lab.create();
    const cluster = await withoutEgress(lab);
    const stop = await cluster.capture();
    const pods = await cluster.startedOnEach();
    for (const pod of pods) {
      await pod.serve();
      for (const protocol of protocols) {
        const expected = protocol === 'icmp' ? ['reply', 'reply'] : world.front.host;
        assert.deepEqual(await pod.askedFrom(lab.front.host, protocol), expected, protocol);
      }
    }
    const answers = packetsOutside(await stop()).map(({ source }) => source);
    assert.deepEqual(new Set(answers), new Set(pods.flatMap(({ addresses }) => addresses)));
  });

  for (const replyPath of replyPaths) {
    const reach = replyPath === 'direct' ? 'reach' : 'do not reach, for want of an overlay,';
    test(`with the reply path "${replyPath}" has pods that ${reach} those of other nodes`, async () => {
      await using lab = await Lab.create();
      const cluster = await withoutEgress(lab, replyPath);
      const [first, , third] = await cluster.startedOnEach();
      assert.ok(first && third);
      await third.serve();
      const seen = await first.askEach('tcp', third.addresses);
      const [node] = cluster.all;
      assert.deepEqual(seen, replyPath === 'direct' ? node?.addresses('eth0') : ['nothing', 'nothing']);
    });
  }

  test('gives a pod the address that it wants', async () => {
    await using lab = await Lab.create();
    const cluster = await withoutEgress(lab);
    const [, second] = cluster.all;
    const pod = await second?.pod('default', 'net-tshoot-pcgf8', '10.0.1.42');
    assert.ok(second && pod);
    await second.add(pod);
    assert.equal(pod.addresses[0], '10.0.1.42');
    assert.deepEqual(await pod.askEach(), second.addresses('eth0'));
  });

  test('lets a pod choose the port that it asks from, which the service sees', async () => {
    await using lab = await Lab.create();
    const cluster = await withoutEgress(lab);
    const [pod] = await cluster.startedOnEach();
    const [node] = cluster.all;
    for (const protocol of ['tcp', 'udp'] as const) {
      const seen = await pod?.askFromPort(40_000, protocol);
      assert.deepEqual(
        seen,
        node?.addresses('eth0').map((address) => `${address} 40000`),
      );
    }
  });

  test('shows what a packet of a tunnel carries', async () => {
    await using lab = await Lab.create();
    const cluster = await withoutEgress(lab);
    const [near, far] = cluster.all;
    assert.ok(near && far);
    const stop = await near.capture();
    const [[from], [to]] = [near.addresses('eth0'), far.addresses('eth0')];
    await near.machine.ip(
      `link add tunnel type vxlan id 14597 local ${from} remote ${to} dstport 4788 gbp`,
      ...['link set tunnel up', 'address add 198.51.100.1/24 dev tunnel'],
      ...['neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev tunnel', 'route add 2001:db8:7::/64 dev tunnel'],
      'neigh add 2001:db8:7::2 lladdr 02:00:00:00:00:02 dev tunnel',
    );
    const addresses = ['198.51.100.2', '2001:db8:7::2'];
    for (const address of addresses) await near.machine.run(['bash', '-c', `echo > /dev/udp/${address}/9`]);
    const inner = packetsTo(await stop.stop(), to).flatMap((packet) => packet.inner ?? []);
    const sent = inner.filter(({ protocol }) => protocol === 'udp');
    assert.deepEqual(
      sent.map(({ destination, destinationPort, vni, group }) => ({ destination, destinationPort, vni, group })),
      addresses.map((destination) => ({ destination, destinationPort: 9, vni: 14597, group: 0 })),
    );
  });
});

async function withoutEgress(lab: Lab, replyPath: (typeof replyPaths)[number] = 'direct'): Promise<Cluster> {
  const cluster = await Cluster.create(lab, { replyPath });
  await cluster.write({ egress: undefined });
  return cluster;
}
