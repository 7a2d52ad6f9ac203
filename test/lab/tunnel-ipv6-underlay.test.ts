import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Cluster,
  type ClusterPacket,
  internet,
  packetsOutside,
  type ReplyPath,
  replyPaths,
} from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { type Pod, protocols } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

for (const replyPath of replyPaths) {
  describe(`a tunnel between IPv6 addresses of nodes, with the reply path "${replyPath}"`, labTest, () => {
    for (const protocol of protocols) {
      test(`carries ${protocol} of pods over IPv4 and IPv6, and the outside sees the addresses of the exit`, async () => {
        await using lab = await Lab.create();
        const { cluster, pods } = await started(lab, replyPath);
        const stop = await cluster.capture();
        const seen = await Promise.all(pods.map((pod) => pod.askEach(protocol)));
        const packets = await stop();
        const expected = protocol === 'icmp' ? ['reply', 'reply'] : internet.addresses;
        assert.deepEqual(
          seen,
          pods.map(() => expected),
        );
        assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
        assert.deepEqual(new Set(packetsOutside(packets).map(({ node }) => node)), new Set([3]));
        assert.deepEqual(carried(packets), wayOf(cluster, pods));
      });
    }
  });
}

describe('the tunnel device between IPv6 addresses', labTest, () => {
  test('has an MTU of 1430, the dummy address of IPv4, and routes of both families by next hops of IPv6', async () => {
    await using lab = await Lab.create();
    const { cluster } = await started(lab, 'tunnel');
    for (const node of inUse(cluster)) {
      const device = await node.machine.must(['ip', '-details', 'address', 'show', 'dev', 'egress0']);
      assert.match(device, / mtu 1430 /);
      assert.match(device, new RegExp(`vxlan id 14597 local ${node.addresses('eth0')[1]} `));
      assert.deepEqual(device.match(/inet6? \S+/g), ['inet 192.0.0.8/32']);
      const routes = await routesIntoTunnel(node);
      for (const family of ['via inet6 fe80::', 'via fe80::']) {
        const found = routes.filter((route) => route.includes(family));
        // A gateway has those of answers, one for each other node; other nodes one to the gateway.
        assert.equal(found.length, node.number === 3 ? 2 : 1, `${routes}`);
      }
    }
  });

  test('passes CHECK, and not without the dummy address or the neighbours that its routes lead to', async () => {
    await using lab = await Lab.create();
    const { cluster, pods } = await started(lab, 'tunnel');
    const [worker, pod] = [cluster.workers[0], pods.at(-1)];
    assert.ok(worker && pod);
    assert.equal(await check(worker, pod), 0);
    await worker.machine.ip('address del 192.0.0.8/32 dev egress0');
    assert.notEqual(await check(worker, pod), 0);
    await worker.started();
    assert.equal(await check(worker, pod), 0, 'after another ADD');
    await worker.machine.ip('neigh flush dev egress0 nud permanent');
    assert.notEqual(await check(worker, pod), 0);
  });

  test('is gone with the last pod, and on the gateway with its service; nothing of either is left', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { replyPath: 'tunnel', underlay: 6 });
    for (const node of cluster.all) await node.settle();
    const before = await Promise.all(cluster.all.map(snapshot));
    await cluster.up();
    const pods = await cluster.startedOnEach();
    for (const pod of pods) assert.deepEqual(await pod.askEach('udp'), internet.addresses);
    for (const [i, node] of cluster.all.entries()) {
      const pod = pods[i];
      assert.ok(pod);
      await node.end(pod);
    }
    for (const gateway of cluster.gateways) await cluster.down(gateway);
    for (const [i, node] of cluster.all.entries()) {
      assertUnchanged(before[i] ?? '', await snapshot(node), `node${node.number}`);
    }
  });
});

/** A cluster whose nodes know each other by IPv6 addresses, with its gateways up and a pod on each node. */
async function started(lab: Lab, replyPath: ReplyPath) {
  const cluster = await Cluster.create(lab, { replyPath, underlay: 6 });
  await cluster.up();
  return { cluster, pods: await cluster.startedOnEach() };
}

/** Every kind of packet in the tunnel: the nodes that it goes between, and what it carries. */
const carried = (packets: readonly ClusterPacket[]): ReadonlySet<string> =>
  new Set(
    packets.flatMap(({ source, destination, inner }) =>
      inner ? [`${source} > ${destination}: ${inner.source} > ${inner.destination}`] : [],
    ),
  );

/** What {@link carried} has to be: pods elsewhere than on the gateway, and answers only where they take the tunnel. */
function wayOf(cluster: Cluster, [, ...elsewhere]: readonly Pod[]): ReadonlySet<string> {
  const [gateway, ...others] = cluster.all.map((node) => node.addresses('eth0')[1]);
  const lines = elsewhere.flatMap(({ addresses }, i) =>
    addresses.flatMap((address, family) => {
      const towards = `${others[i]} > ${gateway}: ${address} > ${world.service[family]}`;
      const back = `${gateway} > ${others[i]}: ${world.service[family]} > ${address}`;
      return cluster.replyPath === 'tunnel' ? [towards, back] : [towards];
    }),
  );
  return new Set(lines);
}

/** The gateway that is in use, and the node that is none. */
const inUse = ({ all, workers }: Cluster): readonly LabNode[] => [...all.slice(0, 1), ...workers];

/** Our routes into the tunnel, of both families. */
async function routesIntoTunnel({ machine }: LabNode): Promise<readonly string[]> {
  const show = (family: string) => machine.must(['ip', family, 'route', 'show', 'table', 'all', 'dev', 'egress0']);
  const lines = `${await show('-4')}${await show('-6')}`.split('\n');
  return lines.filter((line) => line.includes('proto 230')).map((line) => line.replace(/ metric .*/, '').trim());
}

const check = async (node: LabNode, pod: Pod): Promise<number> => (await node.cnitool('check', pod)).code;
