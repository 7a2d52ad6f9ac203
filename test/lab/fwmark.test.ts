import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { egressEntry } from '../support/chain.ts';
import { Cluster, internet, internetPolicy, replyPaths } from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** The default of versions before the table of src/datapath/README.md; it lies in the mask of Tailscale. */
const earlier = '0x00100000';

/** Sends from the link-local address to all nodes of the link, without end. */
const toItsLink = `
import socket, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
link = ("ff02::1", 9, 0, socket.if_nametoindex("eth0"))
s.sendto(b"", link)
print("sending", flush=True)
while True:
    s.sendto(b"", link)
    time.sleep(0.001)`;

describe('the bit of the mark', labTest, () => {
  test('is one that Tailscale leaves alone: beside its policy rules pods are steered', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    for (const family of ['-4', '-6'])
      for (const rule of ['5210 lookup main', '5230 lookup default', '5250 unreachable', '5270 lookup 52']) {
        const [priority, ...action] = rule.split(' ');
        const mark = priority === '5270' ? [] : ['fwmark', '0x80000/0xff0000'];
        await node.machine.must(['ip', family, 'rule', 'add', 'priority', `${priority}`, ...mark, ...action]);
      }
    const pod = await node.started();
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.equal((await node.egress('check')).code, 0);
  });

  test('changes under pods that send all the time, and no packet leaves wrongly', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: egressEntry({ fwmark: earlier }) });
    const pod = await node.started();
    await Partner.start(lab.back.host);
    const capture = await node.capture();
    const connections = await Connections.open(pod, 'echo', 4);
    const before = await packetsOf(node);
    const sender = await pod.send(...world.service);
    assert.match(await rulesOf(node), /not from all fwmark 0x100000\/0x100000 goto 702/);
    for (const fwmark of [undefined, '0x20000000', earlier, undefined]) {
      await node.write({ egress: egressEntry({ ...(fwmark && { fwmark }) }) });
      const other = await node.started();
      assert.deepEqual(await other.askEach('udp'), world.exitAddress);
      await node.end(other);
      const bit = Number(fwmark ?? '0x40000000').toString(16);
      assert.match(await rulesOf(node), new RegExp(`^700:\\s+not from all fwmark 0x${bit}/0x${bit} goto 702`, 'm'));
      assert.equal((await rulesOf(node)).match(/proto 230/g)?.length, 5, 'no rule of the earlier mark is left');
      // A packet on its way through the node meanwhile is put right behind the change, and that is counted.
      assert.match(await problemsOf(node), /^1 attachment is as it should be\.$/m);
    }
    const { silent, broken } = await connections.round();
    assert.deepEqual([silent, broken], [[], []]);
    await sender.stop();
    await setTimeout(200);
    const sent = (await packetsOf(node)) - before;
    const packets = await capture.stop();
    assert.deepEqual(leaks(packets), []);
    const { guarded } = await statusOf(node);
    assert.deepEqual(guarded, { packets: 0, bytes: 0 });
    assert.ok(sent > 1000);
  });

  // With cni-egress 0.1.0 the guard dropped what the new pod sent to its own link, its MLDv2 reports of 96 bytes, while another
  // mark came: a filter marked the pod's packets before there was a chain that judged them.
  test('changes with the ADD of a pod whose multicast to its link passes all the time', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: egressEntry({ fwmark: earlier }) });
    await node.started();
    const others = await node.withoutEgress(async () => [await node.started(), await node.started()]);
    for (const [i, other] of others.entries()) {
      const sender = await other.network.start([tool('python3'), '-c', toItsLink], 'sending');
      await node.write({ egress: egressEntry({ fwmark: i === 0 ? '0x20000000' : earlier }) });
      assert.equal((await node.plugin('ADD', { pod: other })).code, 0);
      assert.deepEqual(await other.askEach('udp'), world.exitAddress);
      await sender.stop();
    }
    const { guarded } = await statusOf(node);
    assert.deepEqual(guarded, { packets: 0, bytes: 0 });
  });

  test('changes back when somebody else looks at the new one: ADD says who, and all is as it was', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.must(['ip', 'rule', 'add', 'fwmark', '0x200000/0x200000', 'lookup', '100']);
    await node.write({ egress: egressEntry({ fwmark: '0x00200000' }) });
    await assert.rejects(node.started(), /looks at mark 0x200000\/0x200000/);
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    await node.write({ egress: egressEntry() });
    assert.equal((await node.egress('check')).code, 0);
  });
});

for (const replyPath of replyPaths) {
  test(
    `with the reply path "${replyPath}", the bit changes on a gateway and on its pods' nodes, one after the other`,
    labTest,
    async () => {
      await using lab = await Lab.create();
      const cluster = await Cluster.create(lab, { replyPath });
      const exits = [{ ...internet, gateways: cluster.gateways.map((node) => cluster.end(node)) }];
      const policies = [internetPolicy];
      await cluster.policy({ exits, policies, fwmark: earlier });
      await cluster.up();
      const [worker] = cluster.workers;
      const [gateway] = cluster.gateways;
      assert.ok(worker && gateway);
      const pod = await worker.started();
      await Partner.start(lab.front.host);
      const stop = await cluster.capture();
      const connections = await Connections.open(pod, 'echo', 4);
      const sender = await pod.send(...world.service);
      await cluster.policy({ exits, policies });
      await cluster.up();
      assert.deepEqual(await pod.askEach('udp'), internet.addresses);
      const other = await worker.started();
      assert.deepEqual(await other.askEach('udp'), internet.addresses);
      for (const node of [worker, gateway]) assert.match(await rulesOf(node), /fwmark 0x40000000\/0x40000000/);
      for (const node of [worker, gateway]) assert.doesNotMatch(await rulesOf(node), /0x100000/);
      const { silent, broken } = await connections.round();
      assert.deepEqual([silent, broken], [[], []]);
      await sender.stop();
      assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
      assert.equal((await worker.egress('check')).code, 0);
    },
  );
}

/** Packets of IPv4 that pods of the node have sent. */
async function packetsOf(node: LabNode): Promise<number> {
  const listed = await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'pods4']);
  return Number(/counter packets (\d+)/.exec(listed)?.[1]);
}

const rulesOf = (node: LabNode): Promise<string> => node.machine.must(['ip', 'rule', 'list']);
const problemsOf = async (node: LabNode): Promise<string> => (await node.egress('check')).stdout;
const statusOf = async (node: LabNode) => JSON.parse((await node.egress('status', '--json')).stdout);
