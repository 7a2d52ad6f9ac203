import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';

/**
 * kind moves the uplink of a node into it, bridges and bonds are made anew: then the device of the tunnel has a lower
 * index than the interface with the node's address, and comes first wherever the kernel lists addresses.
 */
describe('the node’s own end of the tunnel', labTest, () => {
  test('is not found on the tunnel’s device: its MTU stays, however many calls look, though it was there first', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker } = await small(lab);
    await cluster.up();
    const first = await worker.started();
    for (const node of [gateway, worker]) await giveToBridge(node);
    await cluster.up();
    assert.match(await cluster.up(), /\n0 things changed\.\n$/);
    const others = [await worker.started(), await worker.started()];
    assert.deepEqual(await Promise.all([gateway, worker].map(tunnelMtu)), ['mtu 1450', 'mtu 1450']);
    for (const pod of [first, ...others]) assert.deepEqual(await pod.askEach(), internet.addresses);
  });

  test('is not another node’s, though kube-proxy holds an external address of a Service that is that one', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker } = await small(lab);
    const [address] = gateway.addresses('eth0');
    // In truth a dummy, which not every kernel of a lab has.
    await worker.machine.ip('link add kube-ipvs0 type bridge', `address add ${address}/32 dev kube-ipvs0`);
    await cluster.up();
    const { code, stderr } = await worker.egress('gateway', '--policy', policyFile);
    assert.equal(code, 1);
    assert.match(stderr, /No exit names this node, 172\.18\.0\.5/);
  });
});

async function small(lab: Lab) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
  const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
  assert.ok(gateway && worker);
  return { cluster, gateway, worker };
}

/** Gives the node's address to a bridge that is made now and has no ports, and leaves the ways where they are. */
async function giveToBridge(node: LabNode): Promise<void> {
  const { machine } = node;
  const [address] = node.addresses('eth0');
  const routes = (await machine.must(['ip', 'route', 'show', 'dev', 'eth0'])).trim().split('\n');
  await machine.ip('link add br-ex type bridge', 'link set br-ex up', `address add ${address}/32 dev br-ex`);
  await machine.ip(`address delete ${address}/16 dev eth0`);
  const ways = routes.toSorted((a, b) => Number(a.includes(' via ')) - Number(b.includes(' via ')));
  await machine.ip(...ways.map((route) => `route replace ${route.trim()} dev eth0`));
}

const tunnelMtu = async ({ machine }: LabNode): Promise<string | undefined> =>
  /mtu \d+/.exec(await machine.must(['ip', '-oneline', 'link', 'show', 'egress0']))?.[0];
