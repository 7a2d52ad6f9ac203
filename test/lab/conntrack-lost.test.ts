import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Cluster, internet, internetPolicy, replyPaths } from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';

describe('when the node of a pod forgets all connections', labTest, () => {
  for (const replyPath of replyPaths) {
    test(`with the reply path "${replyPath}", nothing leaves with another address, and new ones are as before`, async () => {
      await using lab = await Lab.create();
      const cluster = await Cluster.create(lab, { replyPath });
      await cluster.policy({ exits: [internet], policies: [internetPolicy] });
      const [gateway] = cluster.gateways;
      const worker = cluster.workers[0];
      assert.ok(gateway && worker);
      await cluster.up(gateway);
      await Partner.start(lab.front.host);
      const pod = await worker.started();
      const stop = await cluster.capture();
      const echo = await Connections.open(pod, 'echo', 8);
      // Answers come all the time: some come before the pod's next packet, and find nobody who knows them.
      await Connections.open(pod, 'download', 8);
      await echo.round();
      for (let times = 0; times < 5; times++) {
        await worker.machine.must(['conntrack', '-F']);
        await setTimeout(100);
      }
      assert.deepEqual(await pod.askEach(), internet.addresses);
      assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
      assert.ok((await midStream(worker)) > 0 || replyPath === 'tunnel', 'answers in mid-stream were dropped');
    });
  }
});

/** Packets that would have begun a connection the wrong way round. */
async function midStream({ machine }: LabNode): Promise<number> {
  const listed = await machine.must(['nft', 'list', 'chain', 'inet', 'cni-egress', 'mid-stream']);
  return [...listed.matchAll(/packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}
