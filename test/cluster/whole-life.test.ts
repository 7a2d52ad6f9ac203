import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { packetsOutside } from '../support/cluster.ts';
import { shown } from '../support/cluster-agents.ts';
import type { Shown } from '../support/cluster-api.ts';
import { Connections, Partner } from '../support/connections.ts';
import { requireKept } from '../support/kubernetes/kept.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { type Older, olderVersion } from '../support/kubernetes/older.ts';
import { daemonSet, WholePods } from '../support/kubernetes/pods.ts';
import { wholeClusterTest } from '../support/kubernetes/requirements.ts';
import {
  exitAddresses,
  internetObjects,
  type Manifests,
  objectsOnly,
  ourImage,
  WholeCluster,
  type WholeNode,
} from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { describePacket, packetsTo, tally } from '../support/packets.ts';
import { changedLines, snapshot } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

const addresses = exitAddresses;
/** An empty folder and an empty file, as install/README.md says. */
const saidToStay = ['+ etc/egress', '+ lib/egress/lock'];
const removal = { components: ['kustomize-remove/component'] };

describe('egress in a whole cluster, from an older version to its removal', wholeClusterTest, () => {
  let lab: Lab;
  let cluster: WholeCluster;
  let pods: WholePods;
  let older: Older;
  let kept: readonly Connections[];
  let untouched: ReadonlyMap<string, string>;
  let stopCaptures: () => Promise<readonly string[]>;
  before(async () => {
    older = await olderVersion();
    lab = await Lab.create();
    cluster = await WholeCluster.start(lab, { taint: false, images: [ourImage(), older.archive] });
    pods = new WholePods(cluster);
    const { api } = cluster;
    // What the primary plugin makes with its first pod stays.
    await api.mustApply(daemonSet({ name: 'net-tshoot' }));
    await pods.ready(3);
    await api.kubectl(['delete', 'daemonset', 'net-tshoot']);
    await noPods();
    untouched = await nodesAsTheyAre();

    await cluster.install(objectsOnly, { checkout: older.checkout, tag: older.tag });
    await api.kubectl(['label', 'node', 'node-3', 'node-4', 'egress=gateway']);
    await api.mustApply(...internetObjects, daemonSet({ name: 'net-tshoot' }));
    await Partner.start(lab.front.host);
    const all = await pods.ready(3);
    for (const pod of all) await until(async () => (await pods.seen(pod, world.service[0])) === addresses[0]);
    stopCaptures = await captureAll();
    kept = await Promise.all(all.map(async (pod) => Connections.open(await pods.network(pod), 'echo', 20)));
    await goOn('with the older version');
  });
  after(() => lab.remove());

  const noPods = () => until(async () => (await cluster.api.kubectl(['get', 'pods', '-o', 'name'])) === '', 300);

  /** Long connections of a pod on each node go on, with the exit's addresses alone. */
  const goOn = async (when: string): Promise<string> => {
    const gaps: number[] = [];
    for (const connections of kept) gaps.push(await requireKept(cluster, connections, addresses, when));
    return `longest gaps of the pods' connections: ${gaps.map((gap) => gap.toFixed(1)).join(', ')} s`;
  };

  /** Packets to the outside that have another source, or leave a node that is no gateway, by lines. */
  async function captureAll() {
    const captures = await Promise.all(cluster.nodes.map((node) => cluster.capture(node)));
    return async () => {
      const packets = await Promise.all(captures.map((capture) => capture.stop()));
      assert.notEqual(packetsTo(packets.flat(), ...world.service).length, 0);
      const wrong = packets.flatMap((own, i) => {
        const isGateway = cluster.nodes[i]?.name !== 'node-5';
        const outside = packetsOutside(own).filter(({ source }) => !isGateway || !addresses.includes(source));
        return outside.map((packet) => `${cluster.nodes[i]?.name} ${describePacket(packet)}`);
      });
      return tally(wrong);
    };
  }

  /** Everything of ours that a node's kernel and disk could keep. */
  const nodesAsTheyAre = async () =>
    new Map(await Promise.all(cluster.nodes.map(async (node) => [node.name, await asItIs(node)] as const)));

  /** Has all nodes run a version, and a new pod start on each. */
  async function runs(binary: string, manifests: Manifests): Promise<void> {
    await cluster.install(objectsOnly, manifests);
    for (const { name, machine } of cluster.nodes)
      assert.ok(readFileSync(binary).equals(readFileSync(machine.path('opt/cni/bin/egress'))), name);
  }

  async function newPods(name: string): Promise<void> {
    await cluster.api.mustApply(daemonSet({ name }));
    for (const pod of await pods.ready(3, 'default', `name=${name}`))
      assert.equal(await pods.seen(pod, world.service[0]), addresses[0]);
    await cluster.api.kubectl(['delete', 'daemonset', name]);
    await until(async () => (await pods.all('default', `name=${name}`)).length === 0, 300);
  }

  test('an upgrade: connections of pods go on, and new pods start', async (t) => {
    await runs(egressBinary, {});
    shown(t, await goOn('after the upgrade'));
    await newPods('upgraded');
    shown(t, await cluster.api.kubectl(['-n', 'cni-egress', 'get', 'pods', '-o', 'wide']));
    shown(t, await cluster.api.kubectl(['get', 'egressexits,egresspolicies']));
  });

  test('back to the version before: the same', async (t) => {
    await runs(older.binary, { checkout: older.checkout, tag: older.tag });
    shown(t, await goOn('after the way back'));
    await newPods('downgraded');
    shown(t, await cluster.api.kubectl(['get', 'egressexits,egresspolicies']));
  });

  test('and to the newer one again', async (t) => {
    await runs(egressBinary, {});
    shown(t, await goOn('after the second upgrade'));
  });

  test('nothing of the pods left with another source, in all that', async () => {
    assert.deepEqual(await stopCaptures(), []);
  });

  test('removal: pods that run go on, each node is done when its last pod has ended, and nothing is left on it', async (t) => {
    const { api } = cluster;
    const folder = cluster.kustomization(objectsOnly, removal);
    await api.kubectl(['apply', '-k', folder]);
    await until(async () => (await installers()).every(({ args }) => args.includes('--drain')));
    shown(t, await goOn('while egress waits for the pods'));
    shown(t, await api.kubectl(['-n', 'cni-egress', 'get', 'pods']));
    await Promise.all(kept.map((connections) => connections.end()));
    await api.kubectl(['delete', 'daemonset', 'net-tshoot']);
    await cluster.rolledOut();
    shown(t, await api.kubectl(['-n', 'cni-egress', 'get', 'pods']));
    await api.kubectl(['delete', '-k', folder]);
    const now = await nodesAsTheyAre();
    for (const [name, before] of untouched)
      assert.deepEqual(changedLines(before, now.get(name) ?? ''), saidToStay, name);
    await api.mustApply(daemonSet({ name: 'net-tshoot' }));
    const seen = await Promise.all((await pods.ready(3)).map((pod) => pods.seen(pod, world.service[0])));
    assert.deepEqual(seen.toSorted(), ['172.18.0.3', '172.18.0.4', '172.18.0.5']);
  });

  const installers = async (): Promise<readonly Shown[]> => {
    const { items } = JSON.parse(await cluster.api.kubectl(['-n', 'cni-egress', 'get', 'pods', '-o', 'json']));
    return items.map(({ spec }: Shown) => spec.containers[0]);
  };
});

/** The kernel of a node, and the files that egress may write, with what stands in chains. */
async function asItIs({ machine }: WholeNode): Promise<string> {
  const kernel = await snapshot({ machine: machine.inside });
  const folders = ['etc', 'opt/cni/bin', 'lib/egress'];
  const trees = folders.flatMap((folder) => filesBelow(machine.path(folder)).map((path) => `${folder}/${path}`));
  const chain = readFileSync(machine.path('etc/net.d/10-pods.conflist'), 'utf8');
  return [kernel, ...trees, chain].join('\n');
}

function filesBelow(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted();
  } catch {
    return [];
  }
}
