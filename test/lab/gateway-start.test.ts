import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Cluster, type ClusterPacket, internet, policyFile, replyPaths } from '../support/cluster.ts';
import { sweepRequests } from '../support/killing.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

/**
 * The gateway masquerades pods, as most nodes do (kube-proxy, flannel, ip-masq-agent): a packet that slips through
 * leaves with the node's address, and conntrack keeps this for as long as its flow goes on.
 */
const masquerade = [
  'add table inet masq',
  'add chain inet masq post { type nat hook postrouting priority 100; }',
  'add rule inet masq post ip saddr 10.0.0.0/16 ip daddr != 10.0.0.0/16 masquerade',
  'add rule inet masq post ip6 saddr fd00:10::/32 ip6 daddr != fd00:10::/32 masquerade',
].join('\n');

for (const replyPath of replyPaths) {
  describe(
    `with the reply path "${replyPath}", while pods send all the time, nothing leaves with another address`,
    labTest,
    () => {
      test('of a gateway that comes up and goes down, again and again, and in the end they are answered', async () => {
        await using lab = await Lab.create();
        const { gateway, end } = await sending(lab, replyPath);
        for (let round = 0; round < 5; round++) {
          assert.equal((await command(gateway, [])).code, 0);
          await setTimeout(50);
          assert.equal((await command(gateway, [], '--down')).code, 0);
        }
        await end();
      });

      test('of a gateway whose tunnel is deleted and put back', async () => {
        await using lab = await Lab.create();
        const { gateway, end } = await sending(lab, replyPath);
        await command(gateway, []);
        for (let round = 0; round < 3; round++) {
          await gateway.machine.ip('link delete egress0');
          assert.equal((await command(gateway, [])).code, 0);
        }
        await end();
      });

      test('of a gateway that a pod of its own comes to, and goes from', async () => {
        await using lab = await Lab.create();
        const { gateway, end } = await sending(lab, replyPath);
        for (let round = 0; round < 2; round++) {
          const pod = await gateway.started();
          await command(gateway, []);
          await gateway.end(pod);
          await command(gateway, [], '--down');
        }
        await end();
      });
    },
  );
}

describe('while pods send all the time, nothing leaves with another address', labTest, () => {
  for (const args of [[], ['--down']]) {
    test(`when egress gateway ${args.join('')} is killed at any netlink request`, async () => {
      await using lab = await Lab.create();
      const { gateway, end } = await sending(lab, 'direct');
      const other = args.length === 0 ? ['--down'] : [];
      assert.equal((await command(gateway, [], ...other)).code, 0);
      const kills = await sweepRequests(
        (through) => command(gateway, through, ...args),
        async () => assert.equal((await command(gateway, [], ...other)).code, 0),
        9,
      );
      assert.notEqual(kills, 0);
      await end();
    });
  }
});

/** A worker whose pod sends to the outside, through a gateway that is not up yet; `end` says whether all was right. */
async function sending(lab: Lab, replyPath: (typeof replyPaths)[number]) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath });
  const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
  assert.ok(gateway && worker);
  await gateway.machine.must(['nft', '-f', '-'], { stdin: masquerade });
  const stop = await cluster.capture();
  const pod = await worker.started();
  const sender = await pod.send(...world.service);
  const end = async () => {
    assert.equal((await command(gateway, [])).code, 0);
    await setTimeout(200);
    await sender.stop();
    const packets = (await stop()).filter((packet) => !isOwnMessage(gateway, packet));
    assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
    assert.ok(packets.some(({ source }) => source === internet.addresses[0]));
    assert.deepEqual(await pod.askEach('udp'), internet.addresses);
  };
  return { gateway, end };
}

/**
 * The node itself tells who answers to a pod that it has no way there while it is no gateway. What it would masquerade
 * shows by the other protocols that the pod sends.
 */
const isOwnMessage = (node: LabNode, { protocol, source }: ClusterPacket): boolean =>
  protocol === 'icmp' && node.addresses('eth0').includes(source);

const command = (node: LabNode, through: readonly string[], ...args: readonly string[]) =>
  node.machine.run([...through, egressBinary, 'gateway', '--policy', policyFile, ...args]);
