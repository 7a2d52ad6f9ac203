import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { conditionOf, shown } from '../support/cluster-agents.ts';
import { egressObject } from '../support/cluster-api.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { daemonSet, WholePods } from '../support/kubernetes/pods.ts';
import { wholeClusterTest } from '../support/kubernetes/requirements.ts';
import { objectsOnly, WholeCluster } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { missingContainerd2, releases } from '../support/runtime/releases.ts';
import { world } from '../support/world.ts';

/** What nodes run: the newest, and the oldest that people still have. */
const kinds = {
  'containerd 2, kube-proxy by nftables': { release: 'two', proxy: 'nftables', missing: missingContainerd2() },
  "Debian's containerd 1.6, kube-proxy by iptables": { release: 'debian', proxy: 'iptables', missing: undefined },
} as const;

for (const [kind, { release, proxy, missing = false }] of Object.entries(kinds)) {
  const options = { ...wholeClusterTest, skip: wholeClusterTest.skip || missing };
  describe(`a whole cluster, from an empty one to three pods with one address: ${kind}`, options, () => {
    let lab: Lab;
    let cluster: WholeCluster;
    let pods: WholePods;
    before(async () => {
      lab = await Lab.create();
      cluster = await WholeCluster.start(lab, { release: releases[release], proxy });
      pods = new WholePods(cluster);
    });
    after(() => lab.remove());

    const seen = async () =>
      (await Promise.all((await pods.ready(3)).map((pod) => pods.seen(pod, world.service[0])))).toSorted();

    test('new nodes take pods only when egress is there: the taint goes, and kubectl says when all is ready', async (t) => {
      const { api } = cluster;
      await api.mustApply(daemonSet({ name: 'net-tshoot' }));
      const taints = await api.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints[*].key}']);
      assert.equal(taints, 'egress.cni/not-ready egress.cni/not-ready egress.cni/not-ready');
      assert.equal((await pods.all()).filter(({ spec }) => spec.nodeName !== undefined).length, 0);
      await cluster.install(objectsOnly);
      await until(async () => (await api.kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints}'])) === '');
      shown(t, await api.kubectl(['get', 'nodes', '-o', 'wide']));
      shown(t, await api.kubectl(['-n', 'cni-egress', 'get', 'pods', '-o', 'wide']));
      assert.deepEqual(await seen(), ['172.18.0.3', '172.18.0.4', '172.18.0.5']);
    });

    test('with a label on two nodes and two objects three source addresses are one, without a shell on a node', async (t) => {
      const { api } = cluster;
      await api.kubectl(['label', 'node', 'node-3', 'node-4', 'egress=gateway']);
      const gatewaySelector = { matchLabels: { egress: 'gateway' } };
      await api.mustApply(
        egressObject('EgressExit', 'internet', { gatewaySelector, addresses: ['172.18.0.33', 'fd00:172::33'] }),
        egressObject('EgressPolicy', 'net-tshoot', {
          ...{ namespaces: ['default'], podSelector: { matchLabels: { name: 'net-tshoot' } } },
          ...{ destinations: world.outside, exit: 'internet' },
        }),
      );
      await api.kubectl(['wait', 'egressexit/internet', '--for=condition=Ready', '--timeout=60s']);
      await until(async () => new Set(await seen()).size === 1, 500);
      assert.deepEqual(await seen(), ['172.18.0.33', '172.18.0.33', '172.18.0.33']);
      for (const pod of await pods.ready(3)) assert.equal(await pods.seen(pod, world.service[1]), 'fd00:172::33');
      const object = await api.until('egresspolicy', 'net-tshoot', ({ status }) => status?.pods === 3);
      assert.equal(conditionOf(object, 'Accepted').status, 'True');
      shown(t, await api.kubectl(['get', 'egressexits,egresspolicies']));
    });
  });
}
