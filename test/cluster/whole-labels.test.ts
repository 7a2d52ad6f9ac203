import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Capture } from '../support/capture.ts';
import { packetsOutside } from '../support/cluster.ts';
import { shown } from '../support/cluster-agents.ts';
import { egressObject, type Shown } from '../support/cluster-api.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { podObject, WholePods } from '../support/kubernetes/pods.ts';
import { wholeClusterTest } from '../support/kubernetes/requirements.ts';
import { steeredOn } from '../support/kubernetes/steered.ts';
import { objectsOnly, WholeCluster } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { describePacket, packetsFrom, tally } from '../support/packets.ts';

/** How many, and for how long labels change; in the issue that asked for it 200, 50 and 300. */
const count = Number(process.env.EGRESS_LABELLED_PODS ?? 24);
const policies = Number(process.env.EGRESS_LABEL_POLICIES ?? 12);
const seconds = Number(process.env.EGRESS_LABEL_SECONDS ?? 30);

const exit = { gatewaySelector: { matchLabels: { egress: 'gateway' } }, addresses: ['172.18.0.33'] };
/** The destination of each policy is one that no other has. */
const destination = (policy: number): string => `203.0.113.${policy + 1}`;
const any = (below: number): number => Math.floor(Math.random() * below);
/** Two labels: a policy is for pods with a value of the first, every third for those of the second, too. */
const anyLabels = () => ({ app: `app-${any(policies)}`, stage: `stage-${any(2)}` });
const selectorOf = (policy: number): Readonly<Record<string, string>> =>
  policy % 3 === 0 ? { app: `app-${policy}`, stage: 'stage-1' } : { app: `app-${policy}` };

/** What should be steered: of a pod with these labels the destinations of the policies that fit. */
function expected(labels: Readonly<Record<string, string>>): readonly string[] {
  const fit = Array.from({ length: policies }, (_, i) => i).filter((policy) =>
    Object.entries(selectorOf(policy)).every(([key, value]) => labels[key] === value),
  );
  return fit.map(destination).toSorted();
}

describe('labels that change all the time in a whole cluster', wholeClusterTest, () => {
  let lab: Lab;
  let cluster: WholeCluster;
  let pods: WholePods;
  before(async () => {
    lab = await Lab.create();
    cluster = await WholeCluster.start(lab);
    pods = new WholePods(cluster);
    const { api } = cluster;
    await cluster.install(objectsOnly);
    await api.kubectl(['label', 'node', 'node-3', 'node-4', 'egress=gateway']);
    const all = Array.from({ length: policies }, (_, i) =>
      egressObject('EgressPolicy', `policy-${i}`, {
        ...{ namespaces: ['default'], podSelector: { matchLabels: selectorOf(i) } },
        ...{ destinations: [`${destination(i)}/32`], exit: 'internet' },
      }),
    );
    await api.mustApply(egressObject('EgressExit', 'internet', exit), ...all);
    await api.mustApply(
      ...Array.from({ length: count }, (_, i) => podObject({ name: `pod-${i}`, labels: anyLabels() })),
    );
    await pods.ready(count);
  });
  after(() => lab.remove());

  /** Pods whose kernel and labels say different things, in words. */
  async function differences(): Promise<readonly string[]> {
    const nodes = await Promise.all(cluster.nodes.map(async (node) => [node.name, await steeredOn(node)] as const));
    const kernel = new Map(nodes);
    return (await pods.all()).flatMap(({ metadata, spec, status }: Shown) => {
      const is = kernel.get(spec.nodeName)?.get(status.podIP) ?? [];
      const should = expected(metadata.labels);
      return `${is}` === `${should}`
        ? []
        : [`${metadata.name} ${JSON.stringify(metadata.labels)}: ${is} and not ${should}`];
    });
  }

  test('in the end the kernels steer what the labels say, and a pod whose labels stay was never seen with another address', async (t) => {
    const { api } = cluster;
    await until(async () => (await differences()).length === 0, 500);
    // One that stays on the node without a gateway, and sends all the time to the destination of its policy.
    await api.mustApply(podObject({ name: 'steady', labels: { app: 'app-1' } }, cluster.node(5)));
    await api.kubectl(['wait', 'pod/steady', '--for=condition=Ready', '--timeout=120s']);
    const steady = await api.get('pod', 'steady');
    await until(async () => (await pods.seen(steady, destination(1))) === exit.addresses[0]);
    const capture: Capture = await cluster.capture(cluster.node(5));
    const sender = await (await pods.network(steady)).send(destination(1));

    const end = Date.now() + seconds * 1000;
    let changes = 0;
    while (Date.now() < end) {
      const labels = Object.entries(anyLabels()).map(([key, value]) => `${key}=${value}`);
      const name = `pod-${any(count)}`;
      if (changes % 5 === 4) {
        await api.kubectl(['delete', 'pod', name, '--grace-period=0', '--force']);
        await api.mustApply(podObject({ name, labels: anyLabels() }));
      } else await api.try(['label', 'pod', name, '--overwrite', ...labels]);
      changes++;
    }
    await pods.ready(count + 1);
    let wrong: readonly string[] = [];
    await until(async () => {
      wrong = await differences();
      return wrong.length === 0;
    }, 500);
    await sender.stop();
    shown(t, `${count} pods, ${policies} policies, ${changes} changes in ${seconds} seconds`);
    const packets = packetsOutside(await capture.stop());
    const own = [...steady.status.podIPs.map(({ ip }: Shown) => ip)];
    assert.deepEqual(tally(packetsFrom(packets, ...own).map(describePacket)), []);
    const byNode = packets.filter(({ destination: to }) => to === destination(1));
    assert.deepEqual(tally(byNode.map(describePacket)), [], 'nobody else was asked to send there from this node');
  });
});
