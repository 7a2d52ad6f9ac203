import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type Cluster, type ClusterPacket, describeFromNode } from '../support/cluster.ts';
import { clusterWith, exampleEntry, nodeWith, startedFrom } from '../support/examples.ts';
import { foretold } from '../support/foretold.ts';
import { Lab, labTest } from '../support/lab.ts';
import { ip, nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { answerAtEveryPort } from '../support/ports.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

// What the project promises, each by an example of conf/ as it stands there, in short; other files go into the depth.

const [outside] = world.service;
const [elsewhere] = world.excepted;
const [frontHost] = world.front.host;
const [partner] = world.back.host;
const [exitAddress] = world.exitAddress;
/** A pod of another node, and a service. */
const elsewhereInCluster = ['10.0.7.7', '10.96.0.20'];
/** The first of the nodes that gateway.json names. */
const asInGatewayJson = { nodes: [2, 3, 4], gateways: [3, 4] };

describe('default egress:', labTest, () => {
  test('a pod without a policy leaves as before, untouched, with no kernel object and no state', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'gateway.json');
    await node.settle();
    const before = await snapshot(node);
    const pod = await node.started('kube-system');
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
    const passed = await node.withoutEgress(() => node.started('kube-system'));
    const running = await snapshot(node);
    assert.equal((await node.plugin('ADD', { pod: passed })).code, 0);
    assertUnchanged(running, await snapshot(node));
    assert.equal(existsSync(node.state('egress')), false);
  });
});

describe('Cilium egress gateway:', labTest, () => {
  test('before, pods of a namespace show the addresses of their nodes; after, the one of the gateway', async () => {
    await using lab = await Lab.create();
    const cluster = await clusterWith(lab, 'gateway.json', asInGatewayJson);
    const nodes = cluster.all.map((node) => node.addresses('eth0'));
    await cluster.write({ egress: undefined });
    assert.deepEqual(await seenOfEach(await cluster.startedOnEach()), nodes);
    await cluster.write({ egress: exampleEntry() });
    await cluster.up();
    const one = nodes.map(() => ['172.18.0.33', 'fd00:172::33']);
    assert.deepEqual(await seenOfEach(await cluster.startedOnEach()), one);
  });

  test('a destination says the egress address and the end of the tunnel; from a pod on the gateway there is none', async () => {
    await using lab = await Lab.create();
    const cluster = await clusterWith(lab, 'by-destination.json');
    await cluster.up();
    const [onGateway, , onWorker] = await cluster.startedOnEach();
    assert.ok(onGateway && onWorker);
    assert.deepEqual(await wayOf(cluster, onWorker, outside), [
      `node3 eth0 tcp 172.18.0.33 > ${outside} port 8080`,
      'node5 eth0 udp 172.18.0.5 > 172.18.0.3 port 4788',
    ]);
    assert.deepEqual(await wayOf(cluster, onWorker, elsewhere), [
      `node4 eth0 tcp 172.18.0.34 > ${elsewhere} port 8080`,
      'node5 eth0 udp 172.18.0.5 > 172.18.0.4 port 4788',
    ]);
    assert.deepEqual(await wayOf(cluster, onGateway, outside), [`node3 eth0 tcp 172.18.0.33 > ${outside} port 8080`]);
  });

  test('the gateway keeps a source port that is free, and chooses another for one that is not; replies find the pod', async () => {
    await using lab = await Lab.create();
    const cluster = await clusterWith(lab, 'gateway.json', asInGatewayJson);
    await cluster.up();
    const [first, , third] = await cluster.startedOnEach();
    assert.ok(first && third);
    assert.deepEqual(await first.askFromPort(40_000, 'tcp', [outside]), ['172.18.0.33 40000']);
    const [answer = ''] = await third.askFromPort(40_000, 'tcp', [outside]);
    assert.match(answer, /^172\.18\.0\.33 \d+$/);
    assert.notEqual(answer, '172.18.0.33 40000');
  });

  test('existing pods need no restart when the plugin arrives', async () => {
    await using lab = await Lab.create();
    const cluster = await clusterWith(lab, 'gateway.json', asInGatewayJson);
    await cluster.write({ egress: undefined });
    const pods = await cluster.startedOnEach();
    assert.deepEqual(
      await seenOfEach(pods),
      cluster.all.map((node) => node.addresses('eth0')),
    );
    await cluster.write({ egress: exampleEntry() });
    await cluster.up();
    for (const node of cluster.all) assert.equal((await node.egress('adopt')).code, 0);
    assert.deepEqual(
      await seenOfEach(pods),
      cluster.all.map(() => ['172.18.0.33', 'fd00:172::33']),
    );
  });
});

describe('kube-vip egress:', labTest, () => {
  test('the egress address is a virtual one, also when it moves; where it is not, nothing leaves with another', async () => {
    await using lab = await Lab.create();
    const [leader, other] = [
      await nodeWith(lab, 'virtual-address.json', 4),
      await nodeWith(lab, 'virtual-address.json', 5),
    ];
    await ip(leader, 'address add 172.18.0.33/32 dev eth0');
    const pods = [await leader.started('billing'), await other.started('billing')];
    const seen = () => Promise.all(pods.map((pod) => pod.ask('tcp', outside)));
    assert.deepEqual(await seen(), ['172.18.0.33', 'nothing']);
    await ip(leader, 'address del 172.18.0.33/32 dev eth0');
    await ip(other, 'address add 172.18.0.33/32 dev eth0');
    await lab.front.host.ip('neigh flush dev eth0'); // what the announcement of the new leader does
    assert.deepEqual(await seen(), ['nothing', '172.18.0.33']);
  });

  test('pods leave by another interface than the default one, to a network that the node alone reaches', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'policy.json');
    const [tenant, anybody] = [await node.started('partner-x'), await node.started('default')];
    const capture = await node.capture();
    assert.equal(await tenant.ask('tcp', outside), exitAddress);
    assert.equal(await anybody.ask('tcp', partner), exitAddress);
    const packets = packetsTo(await capture.stop(), outside, partner);
    assert.deepEqual([...new Set(packets.map(({ interface: uplink }) => uplink))], ['eth1']);
    assert.equal(await tenant.ask('tcp', frontHost), node.addresses('eth0')[0]);
    assert.equal(await anybody.ask('tcp', outside), node.addresses('eth0')[0]);
  });

  test('only some destination ports are steered: udp:5060, or tcp:8080,udp:5060', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'ports.json');
    await Promise.all([lab.front, lab.back].map(answerAtEveryPort));
    const seen = async (namespace: string) =>
      askAll(await node.started(namespace), ['udp', 5060], ['tcp', 8080], ['udp', 5061], ['tcp', 5060]);
    const [own] = node.addresses('eth0');
    assert.deepEqual(await seen('phones'), [exitAddress, own, own, own]);
    assert.deepEqual(await seen('exchange'), [exitAddress, exitAddress, own, own]);
  });

  test('the ranges of pods and services are never rewritten', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'cluster-ranges.json');
    const [pod, server] = [await node.started(), await node.started()];
    await server.serve();
    await nft(
      node,
      'add table ip services',
      'add chain ip services in { type nat hook prerouting priority -100; }',
      `add rule ip services in ip daddr 10.96.0.10 tcp dport 80 dnat to ${server.addresses[0]}:8080`,
    );
    const [own] = pod.addresses;
    assert.equal(await pod.ask('tcp', server.addresses[0] ?? ''), own);
    assert.equal(await pod.ask('tcp', '10.96.0.10', 80), own);
    // What is not on this node goes by the ordinary route, and through the masquerade of the bridge plugin.
    for (const { host } of [lab.front, lab.back])
      await host.ip(...elsewhereInCluster.map((each) => `route add local ${each} dev lo`));
    const [byNode] = node.addresses('eth0');
    assert.deepEqual(await pod.askEach('tcp', elsewhereInCluster), [byNode, byNode]);
    assert.equal(await pod.ask('tcp', outside), exitAddress);
  });

  test('what rewrites addresses is nftables, not iptables', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'cluster-ranges.json');
    const pod = await node.withoutEgress(() => node.started());
    const list = (command: string) => node.machine.must(command.split(' '));
    const tables = async () => (await list('nft list tables')).split('\n').filter(Boolean);
    const [rules, before] = [await list('iptables -w -t nat -S'), await tables()];
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.equal(await pod.ask('tcp', outside), exitAddress);
    assert.equal(await list('iptables -w -t nat -S'), rules);
    const added = (await tables()).filter((table) => !before.includes(table));
    assert.deepEqual(added, ['table inet cni-egress', 'table netdev cni-egress']);
  });

  test('the address goes with the pod to another node, and with the exit to another gateway', async () => {
    await using lab = await Lab.create();
    const cluster = await clusterWith(lab, 'gateway.json', asInGatewayJson);
    await cluster.up();
    const [[worker], [, second]] = [cluster.workers, cluster.gateways];
    assert.ok(worker && second);
    const pod = await second.started();
    assert.equal(await pod.ask('tcp', outside), '172.18.0.33');
    await second.end(pod);
    const moved = await worker.started();
    for (const gateway of [3, 4]) {
      if (gateway === second.number) await cluster.move('internet', second);
      assert.deepEqual(await wayOf(cluster, moved, outside), [
        `node2 eth0 udp 172.18.0.2 > 172.18.0.${gateway} port 4788`,
        `node${gateway} eth0 tcp 172.18.0.33 > ${outside} port 8080`,
      ]);
    }
  });
});

describe('Istio, Consul, OSM egress:', labTest, () => {
  test('traffic meant for a proxy reaches it: as an exit whose next hop is in the cluster, and by its address', async () => {
    await using lab = await Lab.create();
    const cluster = await clusterWith(lab, 'next-hop-in-cluster.json', { nodes: [3, 5], gateways: [3] });
    const [gateway, worker] = cluster.all;
    assert.ok(gateway && worker);
    const proxy = await startedProxy(gateway, '10.0.0.53');
    await cluster.up();
    for (const node of [gateway, worker]) {
      const [own] = node.addresses('eth0');
      // Nobody but the proxy answers at port 443.
      assert.deepEqual(await askAll(await node.started('legacy'), ['tcp', 443], ['udp', 8080]), ['10.0.0.1', own]);
    }
    const app = await worker.started('apps');
    assert.notEqual(await app.ask('tcp', '10.0.0.53', 3128), 'nothing');
    assert.equal(await app.ask('tcp', outside), 'nothing');
    assert.equal(await proxy.ask('tcp', outside), gateway.addresses('eth0')[0]);
  });

  test('a policy may say that packets must not leave at all', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'drop.json');
    await answerAtEveryPort(lab.front);
    const [pod, sealed] = [await node.started(), await node.started('sandbox')];
    await pod.serve();
    const [own] = node.addresses('eth0');
    const asked = Promise.all([askAll(pod, ['tcp', 25], ['tcp', 443]), sealed.askEach('icmp')]);
    assert.deepEqual(await asked, [
      ['nothing', own],
      ['nothing', 'nothing'],
    ]);
    assert.equal(await sealed.ask('tcp', pod.addresses[0] ?? ''), sealed.addresses[0]);
  });
});

describe('what users of others miss:', labTest, () => {
  test('a pod asks for an exit of its own by annotations, as far as the policy file opens it', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'annotations/policy.json');
    await Promise.all([lab.front, lab.back].map(answerAtEveryPort));
    const [own] = node.addresses('eth0');
    const phone = await startedFrom(node, 'annotations/own-exit.yaml');
    assert.deepEqual(await askAll(phone, ['udp', 5060], ['tcp', 8080], ['tcp', 443]), [exitAddress, exitAddress, own]);
    assert.equal(await phone.ask('udp', elsewhere, 5060), own);
    const ledger = await startedFrom(node, 'annotations/opt-in.yaml');
    assert.deepEqual([await ledger.ask('tcp', elsewhere), await ledger.ask('tcp', outside)], [exitAddress, own]);
    assert.equal(await (await node.started('billing')).ask('tcp', elsewhere), own);
  });

  test('pods are spread over several addresses, each of them keeps its own', async () => {
    await using lab = await Lab.create();
    const addresses = ['192.168.0.245', '192.168.0.246', '192.168.0.247'];
    const node = await nodeWith(lab, 'several-addresses.json', 5, addresses);
    const pods: Pod[] = [];
    for (let i = 0; i < 6; i++) pods.push(await node.started('crawlers'));
    const seen = () => Promise.all(pods.map((pod) => pod.ask('tcp', outside)));
    const expected = pods.map((pod) => foretold(addresses, pod)[0]);
    assert.ok(new Set(expected).size > 1, `${expected}`);
    assert.deepEqual(await seen(), expected);
    assert.deepEqual(await seen(), expected);
  });

  test('an address and a source port that are seen outside tell the pod', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'port-blocks.json');
    const pods = [await node.started('tenant-a'), await node.started('tenant-b')];
    for (const pod of pods) {
      const [seen = ''] = await pod.askFromPort(40_000, 'tcp', [outside]);
      const [address, port] = seen.split(' ');
      assert.equal(address, exitAddress);
      const { stdout } = await node.egress('who', `${address}:${port}`);
      const told = pods.filter(({ name }) => stdout.includes(name));
      assert.deepEqual(told, [pod], stdout);
    }
  });

  test('IPv6 is steered as IPv4 is, and dropped where the exit has no address for it', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, 'dual-stack.json');
    assert.deepEqual(await (await node.started()).askEach(), world.exitAddress);
    assert.deepEqual(await (await node.started('legacy')).askEach(), [exitAddress, 'nothing']);
  });
});

/** A pod that answers every connection that is led to it, whatever its destination. */
async function startedProxy(node: LabNode, address: string): Promise<Pod> {
  const pod = await node.pod('proxies', 'proxy', address);
  await node.add(pod);
  await pod.serve();
  const commands = [
    'add table ip proxy',
    'add chain ip proxy in { type nat hook prerouting priority -100; }',
    'add rule ip proxy in ip protocol tcp redirect to :8080',
  ];
  await pod.network.must(['nft', commands.join('; ')]);
  return pod;
}

/** What the service outside sees of a pod, by each of several protocols and ports. */
const askAll = (pod: Pod, ...ports: readonly (readonly ['tcp' | 'udp', number])[]) =>
  Promise.all(ports.map(([protocol, port]) => pod.ask(protocol, outside, port)));

const seenOfEach = (pods: readonly Pod[]) => Promise.all(pods.map((pod) => pod.askEach()));

/** What nodes send, each once, while a pod asks a service: into the tunnel and to the service. */
async function wayOf(cluster: Cluster, pod: Pod, service: string): Promise<readonly string[]> {
  const stop = await cluster.capture();
  assert.notEqual(await pod.ask('tcp', service), 'nothing');
  const isTunnel = ({ destinationPort }: ClusterPacket) => destinationPort === 4788;
  const sent = (await stop()).filter((packet) => isTunnel(packet) || packetsTo([packet], service).length > 0);
  return [...new Set(sent.map(describeFromNode))].toSorted();
}
