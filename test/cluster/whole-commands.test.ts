import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { shown } from '../support/cluster-agents.ts';
import { egressObject } from '../support/cluster-api.ts';
import { DocumentCommands } from '../support/kubernetes/document-commands.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { daemonSet, WholePods } from '../support/kubernetes/pods.ts';
import { wholeClusterTest } from '../support/kubernetes/requirements.ts';
import { objectsOnly, WholeCluster } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { givenInCluster } from '../support/readme-commands.ts';
import { world } from '../support/world.ts';

const address = '172.18.0.33';

describe('commands of documents in a whole cluster', wholeClusterTest, () => {
  let lab: Lab;
  let cluster: WholeCluster;
  let pods: WholePods;
  let commands: DocumentCommands;
  before(async () => {
    lab = await Lab.create();
    // The image is what the first command brings.
    cluster = await WholeCluster.start(lab, { taint: false, images: [] });
    pods = new WholePods(cluster);
    commands = new DocumentCommands(cluster, objectsOnly);
    await cluster.api.kubectl(['label', 'node', 'node-3', 'node-4', 'egress=gateway']);
  });
  after(() => lab.remove());

  const rollout = () => commands.give('kubectl -n cni-egress rollout status daemonset cni-egress');
  const seen = async () =>
    (await Promise.all((await pods.ready(3)).map((pod) => pods.seen(pod, world.service[0])))).toSorted();

  /** Three pods of three nodes have one address, by two objects. */
  async function requireOneAddress(): Promise<void> {
    const gatewaySelector = { matchLabels: { egress: 'gateway' } };
    await cluster.api.mustApply(
      egressObject('EgressExit', 'internet', { gatewaySelector, addresses: [address] }),
      egressObject('EgressPolicy', 'internet', {
        ...{ namespaces: ['default'], destinations: [`${world.service[0]}/32`], exit: 'internet' },
      }),
      daemonSet({ name: 'net-tshoot' }),
    );
    await until(async () => new Set(await seen()).size === 1, 500);
    assert.deepEqual(await seen(), [address, address, address]);
  }

  /** What step 1 of a removal waits for, and what its logs say until then. */
  async function requireRemoved(): Promise<void> {
    await until(async () => {
      const { stdout } = await commands.attempt('kubectl -n cni-egress logs POD -c installer');
      return /1 attachment/.test(stdout);
    }, 500);
    await cluster.api.kubectl(['delete', 'daemonset', 'net-tshoot']);
    await rollout();
    for (const { machine } of cluster.nodes)
      assert.equal((await machine.inside.run(['sh', '-c', 'ls /opt/cni/bin/egress'])).code, 2);
  }

  test('of install/README.md: the image, the kustomization, what people ask, and the removal', async (t) => {
    for (const node of cluster.nodes) await commands.give('ctr -n k8s.io images import dist/image.tar', node);
    await commands.give('kubectl apply -k install/kustomize');
    await rollout();
    await requireOneAddress();
    shown(t, await commands.give('kubectl get egressexits,egresspolicies'));
    shown(t, await commands.give('kubectl -n cni-egress get pods'));
    assert.match(await commands.give('kubectl get pod POD -o wide'), / node-3 /);
    assert.match(await commands.give('kubectl -n cni-egress get pods -o wide'), / node-3 /);
    const doctor = await commands.give('kubectl -n cni-egress exec EGRESS-POD -c agent -- egress doctor');
    assert.match(doctor, /forwarding/);
    assert.match(await commands.give('kubectl -n cni-egress exec POD -c installer -- egress ready'), /ready/);
    assert.match(await commands.give('kubectl -n cni-egress exec POD -c agent -- egress status'), /internet/);
    assert.match(await commands.give('kubectl -n cni-egress exec POD -c agent -- egress doctor'), /forwarding/);
    assert.match(await commands.give('kubectl -n cni-egress logs POD -c agent'), /has looked at all of the node once/);
    const nodes = await commands.give('kubectl get nodes -o yaml');
    assert.match(nodes, /podCIDRs/);
    assert.match(nodes, /InternalIP/);
    assert.match(await commands.give('kubectl get nodes -o wide'), / 172\.18\.0\.3 /);
    const ranges = await commands.give("kubectl get nodes -o jsonpath='{.items[*].spec.podCIDRs}'");
    assert.match(ranges, /10\.0\.3\.0\/24/);
    assert.match(await commands.give('kubectl get servicecidrs'), /10\.96\.0\.0\/16/);
    assert.match(await commands.give('kubectl get egresspolicies'), /internet/);
    assert.match(await commands.give('kubectl describe egresspolicy NAME'), /Accepted/);
    await cluster.api.kubectl(['taint', 'node', 'node-3', 'egress.cni/not-ready=:NoSchedule']);
    // Once in hundreds the installer, which looks every five minutes, is faster.
    await commands.attempt('kubectl taint node NODE egress.cni/not-ready-');
    assert.deepEqual((await cluster.api.get('node', 'node-3')).spec.taints, undefined);

    await commands.give('kubectl apply -k install/kustomize-remove');
    await requireRemoved();
    await commands.give('kubectl delete -k install/kustomize');
  });

  test('of install/README.md, with Helm', async (t) => {
    const chart = 'cni-egress install/helm/cni-egress --namespace cni-egress';
    shown(t, await commands.give(`helm install ${chart} --create-namespace`));
    await commands.give('kubectl label namespace cni-egress pod-security.kubernetes.io/enforce=privileged');
    await rollout();
    const values = join(lab.folder, 'values.yaml');
    writeFileSync(values, JSON.stringify({ policy: objectsOnly }));
    await commands.attempt(`helm upgrade ${chart} --reuse-values --values ${values}`);
    await requireOneAddress();
    await commands.give(`helm upgrade ${chart} --reuse-values --set uninstall=true`);
    await requireRemoved();
    await commands.give('helm uninstall cni-egress --namespace cni-egress');
  });

  test('are all that are said to be given here', () => {
    assert.deepEqual(
      givenInCluster.filter((command) => !commands.given.has(command)),
      [],
    );
  });
});
