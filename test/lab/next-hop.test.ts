import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster, internet, internetPolicy, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** The routers of bare metal rentals and clouds (Hetzner, OVH, Google): outside of every network of the interface. */
const routers = ['172.31.1.1', 'fd00:31::1'] as const;

/** The node has its exit's addresses as single ones, with the router somewhere behind the interface. */
async function rented(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  const { exitAddress } = world;
  await node.machine.ip(
    'address flush dev eth1 scope global',
    ...exitAddress.map((address) => `address add ${address} dev eth1 ${address.includes(':') ? 'nodad' : ''}`),
  );
  await lab.back.host.ip(
    ...routers.map((router) => `address add ${router} dev eth0 ${router.includes(':') ? 'nodad' : ''}`),
    ...exitAddress.map((address) => `route replace ${address} dev eth0`),
  );
  return node;
}

describe('a router that is in no network of the exit’s interface', labTest, () => {
  test('is refused in words that say what to do, and leaves nothing', async () => {
    await using lab = await Lab.create();
    const node = await rented(lab);
    await node.write({ egress: egressEntry({ exits: [{ ...partners, nextHop: routers }] }) });
    const outcome = await node.cnitool('add', await node.pod());
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stdout + outcome.stderr, /172\.31\.1\.1 is in no network of eth1/);
    assert.match(outcome.stdout + outcome.stderr, /set \\?"onlink\\?" in the exit/);
    assert.equal(await node.machine.must(['ip', 'route', 'show', 'table', 'all', 'proto', '230']), '');
  });

  test('is the way when the exit says "onlink"', async () => {
    await using lab = await Lab.create();
    const node = await rented(lab);
    await node.write({ egress: egressEntry({ exits: [{ ...partners, nextHop: routers, onlink: true }] }) });
    const pod = await node.started();
    assert.deepEqual(await pod.askEach(), world.exitAddress);
    assert.equal((await node.egress('check')).code, 0);
    assert.equal((await node.cnitool('check', pod)).code, 0);
  });

  test('is the way of a gateway when its default route says so', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.policy({ exits: [internet], policies: [internetPolicy] });
    const [gateway] = cluster.gateways;
    assert.ok(gateway);
    await lab.front.host.ip(...routers.map((router) => `address add ${router} dev eth0`));
    await gateway.machine.ip(...routers.map((router) => `route replace default via ${router} dev eth0 onlink`));
    await cluster.up();
    for (const pod of await cluster.startedOnEach()) assert.deepEqual(await pod.askEach(), internet.addresses);
  });
});

describe('a gateway whose default route has several next hops', labTest, () => {
  test('leaves by one that is alive, and with --watch by another when that dies', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.policy({ exits: [internet], policies: [internetPolicy] });
    const [gateway] = cluster.gateways;
    assert.ok(gateway);
    const hops = ([four, six]: readonly [string, string], device: string) => [
      `nexthop via ${four} dev ${device}`,
      `nexthop via ${six} dev ${device}`,
    ];
    const [back4, back6] = hops(world.back.gateway, 'eth1');
    const [front4, front6] = hops(world.front.gateway, 'eth0');
    for (const route of [
      `-4 route replace default ${back4} ${front4}`,
      `-6 route replace default ${back6} ${front6}`,
    ]) {
      await gateway.machine.must(['ip', ...route.split(' ')]);
    }
    const command = [egressBinary, 'gateway', '--watch', '--policy', policyFile];
    const egress = await gateway.machine.start(command, 'leaves by eth1');
    const pods = await cluster.startedOnEach();
    await gateway.machine.ip('link set eth1 down');
    await egress.line(' changed: ');
    for (const pod of pods) assert.deepEqual(await pod.askEach(), internet.addresses);
    const held = await gateway.machine.must(['ip', '-o', 'address', 'show']);
    assert.deepEqual(held.match(/^\d+: eth1 .*172\.18\.0\.33.*$/m), null);
    assert.equal((await gateway.egress('check')).code, 0);
  });
});
