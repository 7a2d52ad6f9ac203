import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { internet } from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { agentOf, elected, heldElsewhere, isHeldBy, isServed } from '../support/elected.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { tool } from '../support/tools.ts';
import { hardwareAddress } from '../support/world.ts';

/** Has the outside host send to a node what is for the exit's addresses, whoever has them, until the function that it gives is called. */
async function sendsTo({ front: { host } }: Lab, node: LabNode): Promise<() => Promise<void>> {
  const device = (await host.must(['ip', '-o', 'route', 'get', internet.addresses[0]])).match(/dev (\S+)/)?.[1];
  const there = `lladdr ${hardwareAddress(node.addresses('eth0'))} dev ${device} nud permanent`;
  await host.ip(...internet.addresses.map((address) => `neigh replace ${address} ${there}`));
  return () => host.ip(...internet.addresses.map((address) => `neigh del ${address} dev ${device}`));
}

/** Waits until so many answers of the partner have come to a node. */
async function answersComeTo({ machine }: LabNode, count: number, begin: () => Promise<void>): Promise<void> {
  const watching = ['-i', 'eth0', '-nn', '-l', '-c', String(count), 'src port 8082 and inbound'];
  const seen = await machine.start([tool('tcpdump'), ...watching], 'listening on');
  await begin();
  await seen.line('packets captured');
}

describe('connections go on', labTest, () => {
  // Seen once in 3000: a neighbour's answers came to the gateway that had given the address up, which had it again later.
  test('when their answers came to the next gateway before the addresses did', async () => {
    await using lab = await Lab.create();
    const world = await elected(lab);
    const { cluster, first, second, pods, worker } = world;
    const connections = await Connections.open(pods[cluster.all.indexOf(worker)] as Pod, 'echo', 10);
    let healed = async () => {};
    await answersComeTo(second, 100, async () => {
      healed = await sendsTo(lab, second);
    });
    await healed();
    await connections.round();
    await agentOf(world, first).end();
    await isHeldBy(cluster, second);
    const { silent, broken } = await connections.round();
    assert.deepEqual([silent, broken], [[], []]);
  });

  // As with kube-vip or keepalived: we are not deaf on an address that others put on an interface.
  test('when others move the addresses, and their answers come before the pod’s packets', async () => {
    await using lab = await Lab.create();
    const { first, second, worker } = await heldElsewhere(lab);
    const change = ({ machine }: LabNode, verb: 'add' | 'delete') =>
      machine.ip(...internet.addresses.map((address) => `address ${verb} ${address} dev eth0`));
    await change(first, 'add');
    const pod = await worker.started();
    await isServed(pod);
    await Partner.start(lab.front.host);
    const connections = await Connections.open(pod, 'download', 10);
    await change(first, 'delete');
    await change(second, 'add');
    await answersComeTo(second, 5, async () => void (await sendsTo(lab, second)));
    const { silent, broken } = await connections.round();
    assert.deepEqual([silent, broken], [[], []]);
  });
});
