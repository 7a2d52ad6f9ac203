import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { shown } from '../support/cluster-agents.ts';
import { until } from '../support/kubernetes/kubelet.ts';
import { ciliumKind, objectsIn } from '../support/kubernetes/others.ts';
import { daemonSet, podObject, WholePods } from '../support/kubernetes/pods.ts';
import { wholeClusterTest } from '../support/kubernetes/requirements.ts';
import { objectsOnly, WholeCluster } from '../support/kubernetes/whole.ts';
import { Lab } from '../support/lab.ts';
import { world } from '../support/world.ts';

/** As in a lab of a guide to networks of Kubernetes: all pods of a namespace get the address of one node (Cilium 1.10). */
const natPolicy = `
apiVersion: cilium.io/v2alpha1
kind: CiliumEgressNATPolicy
metadata:
  name: egress-sample
spec:
  egress:
  - podSelector:
      matchLabels:
        io.kubernetes.pod.namespace: default
        name: net-tshoot
  destinationCIDRs:
  - 203.0.113.9/32
  egressSourceIP: 172.18.0.3
`;

/** As in Cilium's documentation (1.18). */
const gatewayPolicy = `
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata:
  name: egress-gateway
spec:
  selectors:
  - podSelector:
      matchLabels:
        org: empire
        class: mediabot
        io.kubernetes.pod.namespace: default
  destinationCIDRs:
  - "0.0.0.0/0"
  excludedCIDRs:
  - 10.0.0.0/8
  egressGateway:
    nodeSelector:
      matchLabels:
        kubernetes.io/hostname: node-4
    egressIP: 172.18.0.77
`;

/** As in kube-vip's documentation: only what goes to one port gets the address of the load balancer. */
const service = `
apiVersion: v1
kind: Service
metadata:
  name: sip
  namespace: default
  annotations:
    kube-vip.io/egress: "true"
    kube-vip.io/egress-destination-ports: tcp:8080
    kube-vip.io/loadbalancerIPs: 172.18.0.88
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector:
    app: sip
  ports:
  - port: 5060
    protocol: UDP
`;

describe('manifests of others in a whole cluster', wholeClusterTest, () => {
  let lab: Lab;
  let cluster: WholeCluster;
  let pods: WholePods;
  before(async () => {
    lab = await Lab.create();
    cluster = await WholeCluster.start(lab);
    pods = new WholePods(cluster);
    const { api } = cluster;
    await api.mustApply(ciliumKind('CiliumEgressNATPolicy', 'v2alpha1'), ciliumKind('CiliumEgressGatewayPolicy', 'v2'));
    await cluster.install({ ...objectsOnly, kubernetes: { cilium: true, kubeVip: true } });
    await api.mustApply(daemonSet({ name: 'net-tshoot' }));
    await pods.ready(3);
  });
  after(() => lab.remove());

  const seenBy = async (name: string, address: string = world.service[0], protocol = 'tcp') =>
    pods.seen(await cluster.api.get('pod', name), address, protocol);
  const started = async (name: string, labels: Readonly<Record<string, string>>, on: number) => {
    await cluster.api.mustApply(podObject({ name, labels }, cluster.node(on)));
    await cluster.api.kubectl(['wait', `pod/${name}`, '--for=condition=Ready', '--timeout=120s']);
  };

  test('the CiliumEgressNATPolicy of the guide: three source addresses become that of one node', async (t) => {
    const { api } = cluster;
    const seen = async () =>
      (await Promise.all((await pods.ready(3)).map((pod) => pods.seen(pod, world.service[0])))).toSorted();
    assert.deepEqual(await seen(), ['172.18.0.3', '172.18.0.4', '172.18.0.5']);
    await api.mustApply(...objectsIn(natPolicy));
    await until(async () => new Set(await seen()).size === 1, 500).catch(() => undefined);
    shown(t, (await seen()).join(' '));
    assert.deepEqual(await seen(), ['172.18.0.3', '172.18.0.3', '172.18.0.3']);
    await api.kubectl(['delete', 'ciliumegressnatpolicies', '--all']);
    await until(async () => new Set(await seen()).size === 3, 500);
  });

  test('a CiliumEgressGatewayPolicy has the gateway that its nodeSelector names, and drops until that has the address', async () => {
    const { api } = cluster;
    await api.mustApply(...objectsIn(gatewayPolicy));
    await started('bot', { org: 'empire', class: 'mediabot' }, 5);
    await until(async () => (await seenBy('bot')) === 'nothing', 500);
    await cluster.node(4).machine.inside.must(['ip', 'address', 'add', '172.18.0.77/32', 'dev', 'eth0']);
    await until(async () => (await seenBy('bot')) === '172.18.0.77', 500);
    await started('other', { org: 'empire' }, 5);
    assert.equal(await seenBy('other'), '172.18.0.5');
  });

  test('a Service with annotations of kube-vip has one node take its address, and its pods have it for the port that they name', async (t) => {
    const { api } = cluster;
    await api.mustApply(...objectsIn(service));
    await started('sip', { app: 'sip' }, 5);
    await until(async () => (await seenBy('sip')) === '172.18.0.88', 500);
    assert.equal(await seenBy('sip', world.service[0], 'udp'), '172.18.0.5', 'another protocol is not named');
    shown(t, await api.kubectl(['get', 'events', '--field-selector', 'involvedObject.kind=Service']));
    await api.kubectl(['delete', 'service', 'sip']);
    await until(async () => (await seenBy('sip')) === '172.18.0.5', 500);
  });
});
