import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, internet } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { world } from '../support/world.ts';

/** What `egress status --json` says of the only exit; absent what is not known. */
async function counts(node: LabNode): Promise<Readonly<Record<string, number>>> {
  const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
  const names = ['steered', 'left', 'tunnelled', 'dropped'].filter((name) => name in exits[0]);
  return Object.fromEntries(names.map((name) => [name, exits[0][name].packets]));
}

describe('egress status counts', { ...labTest, concurrency: 2 }, () => {
  test('what was steered and what left together, after somebody deleted one of our tables and it was mended', async () => {
    for (const table of ['inet', 'netdev']) {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      await nft(node, `delete table ${table} cni-egress`);
      assert.equal((await node.egress('repair')).code, 0);
      assert.deepEqual(await counts(node), { steered: 0, left: 0, dropped: 0 });
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      assert.deepEqual(await counts(node), { steered: 2, left: 2, dropped: 0 });
    }
  });

  test('what an exit dropped since it moved, and not all that it ever had', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const second = cluster.gateways[1] ?? assert.fail();
    const pod = await second.started();
    assert.deepEqual(await pod.askEach('udp'), internet.addresses);
    assert.deepEqual(await counts(second), { steered: 2, tunnelled: 2, dropped: 0 });
    await cluster.move(internet.name, second);
    assert.deepEqual(await pod.askEach('udp'), internet.addresses);
    assert.deepEqual(await counts(second), { steered: 2, left: 2, dropped: 0 });
    await cluster.move(internet.name, cluster.gateways[0] ?? second);
    assert.deepEqual(await pod.askEach('udp'), internet.addresses);
    assert.deepEqual(await counts(second), { steered: 2, tunnelled: 2, dropped: 0 });
  });

  test('as gone into the tunnel, and not as left, what no gateway takes', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    const worker = cluster.workers[0] ?? assert.fail();
    const pod = await worker.started();
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    assert.deepEqual(await counts(worker), { steered: 2, tunnelled: 2, dropped: 0 });
    assert.match((await worker.egress('status')).stdout, /STEERED +LEFT +TUNNELLED +DROPPED\n.* 2 +- +2 +0$/m);
  });

  test('nothing where nothing counts: after a flush, and where the interface took its chain with it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    await nft(node, 'delete chain netdev cni-egress sent-eth1');
    assert.deepEqual(await counts(node), { steered: 0 });
    await nft(node, 'flush ruleset');
    assert.deepEqual(await counts(node), {});
    assert.match((await node.egress('status')).stdout, /^Nothing is counted, and no pod is steered/m);
  });
});
