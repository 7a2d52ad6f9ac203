import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Capture } from '../support/capture.ts';
import { packetsOutside } from '../support/cluster.ts';
import { shown } from '../support/cluster-agents.ts';
import { Connections, Partner } from '../support/connections.ts';
import { requireKept as requireAllKept } from '../support/kubernetes/kept.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { daemonSet, WholePods } from '../support/kubernetes/pods.ts';
import { wholeClusterTest } from '../support/kubernetes/requirements.ts';
import { exitAddresses, internetObjects, objectsOnly, WholeCluster } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { describePacket, tally } from '../support/packets.ts';
import { world } from '../support/world.ts';

const addresses = exitAddresses;

describe('gateways of a whole cluster come and go', wholeClusterTest, () => {
  let lab: Lab;
  let cluster: WholeCluster;
  let pods: WholePods;
  let connections: Connections;
  let capture: Capture;
  before(async () => {
    lab = await Lab.create();
    cluster = await WholeCluster.start(lab, { later: [6] });
    pods = new WholePods(cluster);
    const { api } = cluster;
    await cluster.install(objectsOnly);
    await api.kubectl(['label', 'node', 'node-3', 'node-4', 'egress=gateway']);
    await api.mustApply(...internetObjects, daemonSet({ name: 'net-tshoot' }));
    await Partner.start(lab.front.host);
    const pod = (await pods.ready(3)).find(({ spec }) => spec.nodeName === 'node-5');
    await until(async () => (await pods.seen(pod, world.service[0])) === addresses[0]);
    capture = await cluster.capture(cluster.node(5));
    connections = await Connections.open(await pods.network(pod), 'echo', 20);
  });
  after(() => lab.remove());

  /** Long connections go on: each has an answer to its next question, from the same end with the same address. */
  const requireKept = (when: string) => requireAllKept(cluster, connections, addresses, when);

  const exit = async () => (await cluster.api.get('egressexit', 'internet')).status;
  /** The node that holds the exit's addresses, as soon as the status names one. */
  const holder = async () => {
    const { status } = await cluster.api.until('egressexit', 'internet', (one) => Boolean(one.status?.holder));
    return cluster.node(Number(status.holder.replace('node-', '')));
  };
  const movedFrom = (name: string) =>
    until(async () => {
      const now = (await exit()).holder;
      return now !== name && now !== undefined && now !== '';
    }, 300);

  test('kubectl drain of the gateway moves pods and no exit; egress gateway --drain hands over, and keeps connections', async () => {
    const { api } = cluster;
    const served = await holder();
    await api.kubectl(['drain', served.name, '--ignore-daemonsets', '--delete-emptydir-data', '--force']);
    await requireKept('after kubectl drain');
    const { code, stderr } = await cluster.egress(served, 'gateway', '--drain');
    assert.equal(code, 0, stderr);
    await movedFrom(served.name);
    await requireKept('after the hand-over');
    assert.equal((await cluster.egress(served, 'gateway', '--undrain')).code, 0);
    await api.kubectl(['uncordon', served.name]);
    await until(async () => (await exit()).answering === '2/2', 300);
  });

  test('the gateway reboots: connections go on by the other one, and after the boot it can take over again', async (t) => {
    const served = await holder();
    await served.machine.off();
    await movedFrom(served.name);
    await requireKept('while the gateway is off');
    await cluster.boot(served);
    await until(async () => (await exit()).answering === '2/2', 300);
    await requireKept('after the boot');
    await pods.ready(3);
    await until(async () => (await cluster.egress(served, 'check')).code === 0, 500);
    shown(t, (await cluster.egress(served, 'status')).stdout);
  });

  test('the gateway is switched off for good and deleted from the API: the exit forgets it, and a new node takes its place', async (t) => {
    const { api } = cluster;
    const gone = await holder();
    await gone.machine.off();
    await movedFrom(gone.name);
    await until(async () => (await cluster.isReady(gone.name)) === 'Unknown', 300);
    await requireKept('while the gateway is away');
    await api.kubectl(['delete', 'node', gone.name]);
    await until(async () => (await exit()).answering === '1/1', 300);
    shown(t, await api.kubectl(['get', 'egressexits']));

    const young = await cluster.join(6);
    await cluster.rolledOutOn(young);
    await api.kubectl(['label', 'node', young.name, 'egress=gateway']);
    await until(async () => (await exit()).answering === '2/2', 300);
    await until(async () => {
      const pod = (await pods.all()).find(({ spec }) => spec.nodeName === young.name);
      return pod !== undefined && (await pods.seen(pod, world.service[0])) === addresses[0];
    }, 500);
    const served = await holder();
    await served.machine.off();
    await movedFrom(served.name);
    assert.equal((await exit()).holder, young.name);
    await requireKept('the new node serves');
    shown(t, await api.kubectl(['get', 'egressexits']));
  });

  test('nothing of the pods has left their node in any other way', async () => {
    const packets = await capture.stop();
    assert.notEqual(packets.length, 0);
    assert.deepEqual(tally(packetsOutside(packets).map(describePacket)), []);
  });
});
