import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, internet, internetPolicy } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { changedLines, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/**
 * The tunnel's chains as they were while each had a hook of its own. A chain cannot lose its hook: the one with the same name takes
 * its place in the transaction that leads packets there.
 */
const shared = [
  `flush chain ${table} classify`,
  `add rule ${table} classify ct direction reply goto answers`,
  `add rule ${table} classify ct status ! confirmed jump begin`,
  `add rule ${table} classify ip saddr vmap @pods4`,
  `add rule ${table} classify ip6 saddr vmap @pods6`,
  `delete chain ${table} arrive`,
  `add chain ${table} arrive { type filter hook prerouting priority -91; }`,
  `add rule ${table} arrive iifname != "egress0" return`,
  `add rule ${table} arrive meta mark vmap @served`,
  `add rule ${table} arrive ct direction reply return`,
  `add rule ${table} arrive meta l4proto icmp fib daddr type local return`,
  `add rule ${table} arrive meta l4proto ipv6-icmp fib daddr type local return`,
  `add rule ${table} arrive counter drop`,
  `add chain ${table} input { type filter hook input priority 0; }`,
  `add rule ${table} input udp dport 4788 goto senders`,
  `add chain ${table} forward { type filter hook forward priority -150; }`,
  `add rule ${table} forward udp dport 4788 counter drop`,
  `add rule ${table} forward tcp flags syn / syn,rst oifname "egress0" tcp option maxseg size set rt mtu`,
];

const ofGateway = [
  `flush chain ${table} local`,
  `add rule ${table} local ct state untracked return`,
  `add rule ${table} local ct direction original return`,
  ...['ct original ip daddr vmap @locals4', 'ct original ip6 daddr vmap @locals6'].map(inLocal),
  ...['ip saddr vmap @locals4', 'ip6 saddr vmap @locals6'].map(inLocal),
  ...['first', 'replies', 'unasked'].map((chain) => `delete chain ${table} ${chain}`),
  `add chain ${table} replies { type filter hook prerouting priority -89; }`,
  ...['ip', 'ip6'].flatMap((ip, i) => [
    `add rule ${table} replies ct status ! confirmed iifname "egress0" ${ip} saddr @egress${[4, 6][i]} drop`,
    `add rule ${table} replies ct direction reply ct reply ${ip} daddr @egress${[4, 6][i]} ${ip} daddr @remote${[4, 6][i]} meta mark set meta mark & 0xffffc000 | 0x40000000`,
  ]),
  `add chain ${table} unasked { type filter hook output priority 0; }`,
  `add rule ${table} unasked tcp flags rst / rst,ack tcp sport >= 32768 ip saddr @moving4 counter drop`,
];

function inLocal(words: string): string {
  return `add rule ${table} local ${words}`;
}

describe('where an earlier version set the tunnel up,', labTest, () => {
  test('a gateway and another node get the chains of now under traffic, and nothing leaks', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker, pod } = await started(lab);
    const now = [await snapshot(gateway), await snapshot(worker)];
    const stop = await cluster.capture();
    const sender = await pod.send('pause=0.005', ...world.service);
    for (let i = 0; i < 3; i++) {
      await nft(gateway, ...shared, ...ofGateway);
      await nft(worker, ...shared);
      assert.deepEqual(await pod.askEach('tcp'), internet.addresses, 'it was like that');
      await cluster.up(gateway);
      const other = await worker.started();
      assert.deepEqual(await pod.askEach('tcp'), internet.addresses);
      await worker.end(other);
      assert.deepEqual(changedLines(now[0] ?? '', await snapshot(gateway)), []);
      assert.deepEqual(changedLines(now[1] ?? '', await snapshot(worker)), []);
    }
    await sender.stop();
    assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
  });

  test('it goes as it came, and leaves what others need', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker, pod } = await started(lab);
    await nft(gateway, ...shared, ...ofGateway);
    await nft(worker, ...shared);
    await worker.end(pod);
    await cluster.down(gateway);
    for (const node of [gateway, worker]) await assertNothing(node);
  });

  test('it goes while a pod of the gateway’s own stays, and nothing of it is left', async () => {
    await using lab = await Lab.create();
    const { gateway, own, cluster } = await started(lab, true);
    await nft(gateway, ...shared, ...ofGateway);
    await cluster.down(gateway);
    const left = await snapshot(gateway);
    for (const words of ['@served', '@egress4', '@senders4', '4788', 'chain arrive', 'chain replies'])
      assert.ok(!left.includes(words), words);
    if (own) await gateway.end(own);
    await assertNothing(gateway);
  });
});

/** A gateway and a worker, each with a pod of its own if it is to have one. */
async function started(lab: Lab, hasOwn = false) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
  await cluster.policy({ policies: [internetPolicy] });
  const [gateway, worker] = cluster.all;
  assert.ok(gateway && worker);
  await cluster.up();
  const own: Pod | undefined = hasOwn ? await gateway.started() : undefined;
  return { cluster, gateway, worker, pod: await worker.started(), own };
}

async function assertNothing({ machine }: LabNode): Promise<void> {
  assert.doesNotMatch(await machine.must(['nft', 'list', 'tables']), /cni-egress/);
}
