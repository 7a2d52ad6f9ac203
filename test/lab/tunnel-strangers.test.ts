import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Address } from '../../src/base/address.ts';
import { tunnelMac } from '../../src/datapath/tunnel.ts';
import { ethernetFrame, etherTypes } from '../../src/kernel/packet/ethernet.ts';
import { primer } from '../../src/kernel/packet/primer.ts';
import { exitIdOf } from '../../src/policy/exit-id.ts';
import { Cluster, describeFromNode, internet, internetPolicy, packetsOutside } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import type { LabNode } from '../support/node.ts';
import { tunnelPort } from '../support/pcap.ts';
import { ask, type Pod } from '../support/pod.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** What the tunnel of these tests is called, and the exit that its gateway serves. */
const vni = 14597;
const served = exitIdOf(internet.name);
const unserved = served + 1;

describe('a packet in VXLAN that somebody made by hand', labTest, () => {
  test('leaves with the exit’s address when a node sends it with a served exit: it is what the others here are made as', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker, pod } = await started(lab);
    const stop = await cluster.capture();
    await forge(worker.machine, gateway, pod, served);
    await settled(gateway, worker.machine);
    const left = packetsOutside(await stop()).filter(({ destination }) =>
      world.service.some((own) => own === destination),
    );
    assert.deepEqual(
      left.map(describeFromNode).toSorted(),
      world.service.map((service, i) => `node3 eth0 tcp ${internet.addresses[i]} > ${service} port 8080`),
    );
  });

  for (const { what, id, counter, from } of [
    { what: 'somebody outside sends it with a served exit', id: served, counter: 'strangers', from: 'outside' },
    { what: 'a node sends it with an exit that is not served', id: unserved, counter: 'unserved', from: 'node' },
    { what: 'a node sends it with the exit 0, as answers have it', id: 0, counter: 'unserved', from: 'node' },
    {
      what: 'a node sends it with a served exit and one bit more',
      id: served | 0x8000,
      counter: 'unserved',
      from: 'node',
    },
  ] as const) {
    test(`gets nowhere when ${what}, and is counted as ${counter}`, async () => {
      await using lab = await Lab.create();
      const { cluster, gateway, worker, pod } = await started(lab);
      const stop = await cluster.capture();
      const sender = from === 'node' ? worker.machine : lab.front.host;
      await forge(sender, gateway, pod, id);
      await settled(gateway, worker.machine);
      assert.deepEqual(packetsOutside(await stop()).map(describeFromNode), []);
      assert.deepEqual(await refused(gateway), { strangers: 0, unserved: 0, [counter]: 2 });
    });
  }

  for (const [where, index] of [
    ['on the gateway', 0],
    ['on another gateway', 1],
    ['on a worker', 2],
  ] as const) {
    for (const namespace of ['default', 'other']) {
      test(`gets nowhere when a pod ${where} in the namespace "${namespace}" sends it, and is counted as strangers there`, async () => {
        await using lab = await Lab.create();
        const { cluster, gateway, pod } = await started(lab);
        const node = cluster.all[index];
        assert.ok(node);
        const sender = await node.started(namespace);
        const stop = await cluster.capture();
        await forge(sender.network, gateway, pod, served);
        await settled(gateway, sender.network);
        const packets = await stop();
        assert.deepEqual(packetsOutside(packets).map(describeFromNode), []);
        assert.deepEqual(
          packets.filter(({ inner }) => inner).map(describeFromNode),
          [],
          'it does not even reach the network',
        );
        assert.deepEqual(await refused(node), { strangers: 2, unserved: 0 });
      });
    }
  }
});

/** Addresses of a gateway that packets for the tunnel are not sent to, but that its VXLAN socket listens on. */
const otherAddresses = {
  'of its pod bridge': () => '10.0.0.1',
  'of its second interface': (gateway: LabNode) => gateway.addresses('eth1')[0],
  'of the exit': () => internet.addresses[0],
} as const;

describe('a packet in VXLAN to an address of the gateway', labTest, () => {
  for (const [which, addressOf] of Object.entries(otherAddresses)) {
    for (const size of ['whole', 'in fragments'] as const) {
      test(`${which} gets nowhere from a pod elsewhere, ${size}`, async () => {
        await using lab = await Lab.create();
        const { cluster, gateway, worker, pod } = await started(lab);
        const stop = await cluster.capture();
        const padding = size === 'whole' ? 0 : 2000;
        await forge(pod.network, gateway, pod, served, { to: addressOf(gateway), padding });
        await settled(gateway, pod.network);
        const packets = await stop();
        assert.deepEqual(packetsOutside(packets).map(describeFromNode), []);
        assert.deepEqual(await refused(worker), { strangers: 2, unserved: 0 });
      });

      test(`${which} gets nowhere from a listed node, ${size}`, async () => {
        await using lab = await Lab.create();
        const { cluster, gateway, worker, pod } = await started(lab);
        const stop = await cluster.capture();
        const padding = size === 'whole' ? 0 : 2000;
        await forge(worker.machine, gateway, pod, served, { to: addressOf(gateway), padding });
        await settled(gateway, worker.machine);
        assert.deepEqual(packetsOutside(await stop()).map(describeFromNode), []);
        assert.deepEqual(await refused(gateway), { strangers: 2, unserved: 0 });
      });
    }
  }
});

describe('a packet in VXLAN with the source of a listed node', labTest, () => {
  test('gets nowhere from the gateway itself: what it sends to itself comes in by lo, behind which the kernel has all sources', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, pod } = await started(lab);
    const stop = await cluster.capture();
    await forge(gateway.machine, gateway, pod, served);
    await settled(gateway, gateway.machine);
    assert.deepEqual(packetsOutside(await stop()).map(describeFromNode), []);
    assert.deepEqual(await refused(gateway), { strangers: 2, unserved: 0 });
  });

  for (const filter of [0, 2]) {
    test(`gets nowhere from a pod of the gateway, with rp_filter ${filter}`, async () => {
      await using lab = await Lab.create();
      const { cluster, gateway, worker, pod } = await started(lab);
      const liar = await gateway.started('other');
      await gateway.machine.sysctl({ 'net.ipv4.conf.all.rp_filter': filter, 'net.ipv4.conf.cni0.rp_filter': filter });
      const [source] = worker.addresses('eth0');
      await liar.network.ip(`address add ${source}/32 dev lo`);
      const stop = await cluster.capture();
      await forge(liar.network, gateway, pod, served, { from: source });
      await settled(gateway, gateway.machine);
      assert.deepEqual(packetsOutside(await stop()).map(describeFromNode), []);
      assert.deepEqual(await refused(gateway), { strangers: 2, unserved: 0 });
    });
  }
});

/** Tunnels of others: on the ports of the standard and of Linux, which flannel has; one with our own VNI. */
const foreign = [
  { name: 'vxlan.ietf', port: 4789, vni, network: '10.200.1' },
  { name: 'flannel.1', port: 8472, vni: 1, network: '10.200.2' },
] as const;

describe('a VXLAN of somebody else', labTest, () => {
  for (const own of foreign) {
    test(`on the port ${own.port} passes its packets before, while and after our tunnel is there, and is not changed`, async () => {
      await using lab = await Lab.create();
      const cluster = await Cluster.create(lab);
      const [gateway, , worker] = cluster.all;
      assert.ok(gateway && worker);
      await addForeign(own, gateway, worker);
      const before = await foreignLinks(own, gateway, worker);
      await assertPasses(own, gateway, worker);
      await cluster.up();
      const pod = await worker.started();
      assert.deepEqual(await pod.askEach('tcp'), internet.addresses);
      await assertPasses(own, gateway, worker);
      assert.deepEqual(await foreignLinks(own, gateway, worker), before);
      await worker.del(pod);
      for (const node of cluster.gateways) await cluster.down(node);
      assert.notEqual((await worker.machine.run(['ip', 'link', 'show', 'egress0'])).code, 0);
      assert.notEqual((await gateway.machine.run(['ip', 'link', 'show', 'egress0'])).code, 0);
      await assertPasses(own, gateway, worker);
      assert.deepEqual(await foreignLinks(own, gateway, worker), before);
    });
  }
});

/** A gateway and a pod elsewhere that uses it; a pod on each node, so that all nodes have the tunnel. */
async function started(lab: Lab) {
  const cluster = await Cluster.create(lab);
  await cluster.policy({ policies: [internetPolicy] });
  const [gateway, , worker] = cluster.all;
  assert.ok(gateway && worker);
  await cluster.up(gateway);
  const [, , pod] = await cluster.startedOnEach();
  assert.ok(pod);
  return { cluster, gateway, worker, pod };
}

/** Where a forged datagram goes, where it says that it comes from, and how many bytes stand behind the packet in it. */
interface Forged {
  readonly to?: Address;
  readonly from?: Address;
  readonly padding?: number;
}

/** Sends one packet for each family to a gateway's port: from `pod` to a service outside, with an exit's id around it. */
async function forge(
  sender: Namespace,
  gateway: LabNode,
  pod: Pod,
  id: number,
  { to = gateway.addresses('eth0')[0], from = '', padding = 0 }: Forged = {},
): Promise<void> {
  const datagrams = world.service.map((service, i) => vxlan(gateway, pod.addresses[i] ?? '', service, id));
  const script = `import socket, sys
to, port, source, padding = sys.argv[1:5]
for datagram in sys.argv[5:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.sendto(bytes.fromhex(datagram) + bytes(int(padding)), (to, int(port)))`;
  await sender.must([tool('python3'), '-c', script, to, `${tunnelPort}`, from, `${padding}`, ...datagrams]);
}

/** VXLAN with group policy (draft-smith-vxlan-group-policy) around a TCP segment, as hexadecimal digits. */
function vxlan(gateway: LabNode, source: Address, destination: Address, id: number): string {
  const header = Buffer.from([0x88, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt16BE(id, 2);
  header.writeUIntBE(vni, 4, 3);
  const [to] = gateway.addresses('eth0');
  const packet = primer({ source, destination, sourcePort: 40_000, destinationPort: 8080, hops: 64 });
  const etherType = source.includes(':') ? etherTypes.ipv6 : etherTypes.ipv4;
  const frame = ethernetFrame(tunnelMac(to), '02:e6:00:00:00:01', etherType, packet);
  return Buffer.concat([header, frame]).toString('hex');
}

/** Packets go one after the other: when an answer to a later one is here, the gateway is done with those before. */
async function settled(gateway: LabNode, sender: Namespace): Promise<void> {
  assert.equal(await ask(sender, 'icmp', gateway.addresses('eth0')[0]), 'reply');
}

/** What the tunnel of a node has not taken. */
async function refused(node: LabNode): Promise<{ strangers: number; unserved: number }> {
  const { tunnel } = JSON.parse((await node.egress('status', '--json')).stdout);
  return { strangers: tunnel.strangers.packets, unserved: tunnel.unserved.packets };
}

type Foreign = (typeof foreign)[number];

async function addForeign({ name, port, vni, network }: Foreign, ...nodes: readonly LabNode[]): Promise<void> {
  for (const [i, { machine, ...node }] of nodes.entries()) {
    const [local, remote] = [nodes[i], nodes[1 - i]].map((end) => end?.addresses('eth0')[0]);
    await machine.ip(
      `link add ${name} type vxlan id ${vni} dstport ${port} local ${local} remote ${remote} dev eth0`,
      `link set ${name} up`,
      `address add ${network}.${node.number}/24 dev ${name}`,
    );
  }
}

/** All that `ip` says of the devices, but for what it counts. */
const foreignLinks = ({ name }: Foreign, ...nodes: readonly LabNode[]) =>
  Promise.all(nodes.map(({ machine }) => machine.must(['ip', '-d', 'link', 'show', name])));

async function assertPasses({ network }: Foreign, from: LabNode, to: LabNode): Promise<void> {
  for (const [one, other] of [
    [from, to],
    [to, from],
  ] as const) {
    assert.equal(await ask(one.machine, 'icmp', `${network}.${other.number}`), 'reply');
  }
}
