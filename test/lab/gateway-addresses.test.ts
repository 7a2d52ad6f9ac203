import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Address } from '../../src/base/address.ts';
import type { Json } from '../support/chain.ts';
import { Cluster, internet, internetPolicy } from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { foretold, foretoldOfPort } from '../support/foretold.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

/** Three of IPv4 and two of IPv6. */
const addresses = ['172.18.0.33', '172.18.0.34', '172.18.0.35', 'fd00:172::33', 'fd00:172::34'];

for (const addressPerFlow of [false, true]) {
  const kind = addressPerFlow ? 'connection' : 'pod';
  describe(`a gateway exit with several addresses, one for each ${kind},`, labTest, () => {
    test('gives the same address on every gateway, and connections go on when it moves', async () => {
      await using lab = await Lab.create();
      const { cluster, pods, gateways } = await startedCluster(lab, addressPerFlow);
      await Partner.start(lab.front.host);
      const stop = await cluster.capture();
      const all = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 8)));
      for (const to of [undefined, ...gateways.toReversed()]) {
        if (to !== undefined) await cluster.move(internet.name, to);
        for (const connections of all) {
          const { broken, silent, moved } = await connections.round();
          assert.deepEqual({ broken, silent, moved }, { broken: [], silent: [], moved: 8 });
        }
        await assertAsForetold(pods, addresses, addressPerFlow);
        for (const node of cluster.all) assert.equal((await node.egress('check')).code, 0);
      }
      assert.deepEqual(cluster.leaks(await stop(), addresses), []);
    });

    test('uses no address any more that was taken out of the configuration, and gives it back', async () => {
      await using lab = await Lab.create();
      const { cluster, pods, gateways } = await startedCluster(lab, addressPerFlow);
      const fewer = addresses.filter((_, i) => i % 3 !== 0);
      await cluster.policy({ exits: [exitOf(addressPerFlow, fewer)] });
      await cluster.up();
      await assertAsForetold(pods, fewer, addressPerFlow);
      const held = await gateways[0].machine.must(['ip', '-o', 'address', 'show', 'dev', 'eth0']);
      for (const address of addresses) {
        assert.equal(new RegExp(`${address}/`).test(held), fewer.includes(address), address);
      }
    });

    test('leaves nothing on its gateways and on the nodes of pods', async () => {
      await using lab = await Lab.create();
      const cluster = await clusterWith(lab, addressPerFlow);
      for (const node of cluster.all) await node.settle();
      const before = await Promise.all(cluster.all.map(snapshot));
      await cluster.up();
      const pods = await cluster.startedOnEach();
      await Promise.all(pods.map((pod) => pod.askEach()));
      for (const [i, pod] of pods.entries()) await cluster.all[i]?.end(pod);
      for (const node of cluster.gateways) await cluster.down(node);
      for (const [i, node] of cluster.all.entries()) assertUnchanged(before[i] ?? '', await snapshot(node));
    });
  });
}

const exitOf = (addressPerFlow: boolean, all: readonly Address[]): Json => ({
  ...internet,
  addresses: all,
  ...(addressPerFlow && { addressPerFlow }),
});

async function clusterWith(lab: Lab, addressPerFlow: boolean): Promise<Cluster> {
  const cluster = await Cluster.create(lab);
  await cluster.policy({ exits: [exitOf(addressPerFlow, addresses)], policies: [internetPolicy] });
  return cluster;
}

/** Two gateways and a worker, with a pod on each and two more on the worker. */
async function startedCluster(lab: Lab, addressPerFlow: boolean) {
  const cluster = await clusterWith(lab, addressPerFlow);
  await cluster.up();
  const [[first, second], [worker]] = [cluster.gateways, cluster.workers];
  assert.ok(first && second && worker);
  const pods = [...(await cluster.startedOnEach()), await worker.started(), await worker.started()];
  // A gateway that meets a port twice, towards the same destination and from the same address, changes one of them.
  await Promise.all(
    pods.map(({ network }, i) =>
      network.sysctl({ 'net.ipv4.ip_local_port_range': `${30_000 + 1000 * i} ${30_999 + 1000 * i}` }),
    ),
  );
  return { cluster, pods, gateways: [first, second] as const };
}

const ports = Array.from({ length: 8 }, (_, i) => 20_000 + 5 * i);

/** The outside sees of each pod, or of some of its source ports, the addresses that are foretold. */
async function assertAsForetold(pods: readonly Pod[], all: readonly Address[], addressPerFlow: boolean): Promise<void> {
  for (const pod of pods) {
    if (addressPerFlow) await assertPorts(pod, all);
    else
      for (const protocol of ['tcp', 'udp'] as const) assert.deepEqual(await pod.askEach(protocol), foretold(all, pod));
  }
}

/** The outside may see another port where two pods ask from the same one. */
async function assertPorts(pod: Pod, all: readonly Address[]): Promise<void> {
  const seen = await Promise.all(ports.map((port) => pod.askFromPort(port, 'udp')));
  assert.deepEqual(
    seen.map((answers) => answers.map((answer) => answer.split(' ')[0])),
    ports.map((port) => foretoldOfPort(all, port)),
  );
}
