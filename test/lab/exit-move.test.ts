import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, internet, internetPolicy, packetsOutside, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

const [firstAddress, secondAddress] = internet.gateways;

describe('egress exit move', labTest, () => {
  test('is what pods follow that start later, until the exit moves back', async () => {
    await using lab = await Lab.create();
    const { cluster, second, worker } = await started(lab);
    await cluster.move(internet.name, second);
    assert.deepEqual(await recorded(cluster), [true, true, true]);
    await assertLeavesBy(cluster, worker, 4);
    const [first] = cluster.gateways;
    assert.ok(first);
    await cluster.move(internet.name, first);
    assert.deepEqual(await recorded(cluster), [false, false, false]);
    await assertLeavesBy(cluster, worker, 3);
  });

  test('changes nothing the second time', async () => {
    await using lab = await Lab.create();
    const { cluster, second } = await started(lab);
    await cluster.startedOnEach();
    for (const node of [second, ...cluster.workers, ...cluster.gateways.slice(0, 1)]) {
      assert.doesNotMatch((await move(node, internet.name, secondAddress)).stdout, /^0 things changed\.$/m);
      const before = await snapshot(node);
      assert.match((await move(node, internet.name, secondAddress)).stdout, /^0 things changed\.$/m);
      assertUnchanged(before, await snapshot(node));
    }
  });

  test('refuses an exit that is not there, and a gateway that the exit does not have', async () => {
    await using lab = await Lab.create();
    const { cluster } = await started(lab);
    await cluster.startedOnEach();
    const wrong = [
      ['nowhere', secondAddress, 1, 'No exit with gateways is called "nowhere", there are: "internet"'],
      [
        'internet',
        '172.18.0.5',
        1,
        `Exit "internet" has the gateways ${firstAddress}, ${secondAddress}, got 172.18.0.5`,
      ],
      ['internet', 'node4', 2, '--to: expected an IP address, got "node4"'],
    ] as const;
    for (const node of cluster.all) {
      const [before, records] = [await snapshot(node), await node.records()];
      for (const [exit, to, exitCode, message] of wrong) {
        const { code, stdout, stderr } = await move(node, exit, to);
        assert.deepEqual([code, stdout, stderr.includes(message)], [exitCode, '', true], stderr);
      }
      assertUnchanged(before, await snapshot(node));
      assert.deepEqual(await node.records(), records);
    }
  });
});

/** A cluster with two gateways, of which the first serves, and a worker. */
async function started(lab: Lab) {
  const cluster = await Cluster.create(lab);
  await cluster.policy({ policies: [internetPolicy] });
  await cluster.up();
  const [second, worker] = [cluster.gateways[1], cluster.workers[0]];
  assert.ok(second && worker);
  return { cluster, second, worker };
}

const move = (node: LabNode, exit: string, to: string) =>
  node.egress('exit', 'move', exit, '--to', to, '--policy', policyFile);

/** Of each node, whether it remembers a choice. */
const recorded = (cluster: Cluster) =>
  Promise.all(cluster.all.map(async (node) => (await node.records()).includes('moves.json')));

/** What a new pod of a node sends to the outside leaves by a gateway alone, with the addresses of the exit. */
async function assertLeavesBy(cluster: Cluster, node: LabNode, gateway: number): Promise<void> {
  const stop = await cluster.capture();
  const pod = await node.started();
  assert.deepEqual(await pod.askEach('tcp'), internet.addresses);
  const packets = packetsOutside(await stop());
  assert.deepEqual(new Set(packets.map(({ node }) => node)), new Set([gateway]));
  assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
}
