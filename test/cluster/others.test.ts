import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { added, allLeaveBy, seen, shown, started, until } from '../support/cluster-agents.ts';
import { clusterTest } from '../support/cluster-api.ts';
import { ciliumKind, objectsIn } from '../support/kubernetes/others.ts';
import { Lab } from '../support/lab.ts';
import { world } from '../support/world.ts';

/** As in Cilium's documentation of its egress gateway. */
const gatewayPolicy = `
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata:
  name: egress-sample
spec:
  selectors:
  - podSelector:
      matchLabels:
        org: empire
        class: mediabot
        io.kubernetes.pod.namespace: default
  destinationCIDRs:
  - "0.0.0.0/0"
  egressGateway:
    nodeSelector:
      matchLabels:
        egress: gateway
    egressIP: 172.18.0.77
`;

/** As in kube-vip's documentation of its egress, with an address that the Service asks for. */
const service = `
apiVersion: v1
kind: Service
metadata:
  name: sip
  namespace: default
  annotations:
    kube-vip.io/egress: "true"
    kube-vip.io/loadbalancerIPs: 172.18.0.88
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector:
    app: sip
  ports:
  - port: 5060
`;

describe('objects of others at a real API server', clusterTest, () => {
  test('a CiliumEgressGatewayPolicy and a Service of kube-vip’s do what they say, without Cilium and kube-vip, and what they cannot is told', async (t) => {
    await using lab = await Lab.create();
    const { api, cluster, start, scheduled } = await started(lab, { cilium: true, kubeVip: true });
    const [worker] = cluster.workers;
    const [gateway] = cluster.gateways;
    assert.ok(worker && gateway);
    await api.kubectl(['create', 'serviceaccount', 'default']);
    // Cilium does not give a gateway its address: whoever runs the cluster does.
    await gateway.machine.must(['ip', 'address', 'add', '172.18.0.77/32', 'dev', 'eth0']);
    for (const node of cluster.all) await start(node);
    const [bot, sip, none] = [
      await scheduled(worker, { org: 'empire', class: 'mediabot' }),
      await scheduled(worker, { app: 'sip' }),
      await scheduled(worker, { org: 'empire' }),
    ];
    for (const pod of [bot, sip, none]) await added(worker, pod);
    const own = worker.addresses('eth0')[0] ?? '';
    assert.deepEqual(await seen([bot, sip, none]), [own, own, own], 'a kind that is not defined has no objects');

    await api.mustApply(ciliumKind('CiliumEgressGatewayPolicy', 'v2'));
    await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    await api.mustApply(...objectsIn(gatewayPolicy), ...objectsIn(service));
    await allLeaveBy([bot], '172.18.0.77');
    await allLeaveBy([sip], '172.18.0.88');
    assert.deepEqual(await seen([none]), [own], 'labels that are not all there choose nobody');
    const rules = await worker.machine.must(['nft', 'list', 'table', 'inet', 'cni-egress']);
    const told = rules.split('\n').filter((line) => /cilium\.|kube-vip\./.test(line));
    shown(t, told.slice(0, 12).join('\n'));

    const lost = gatewayPolicy.replace('egress: gateway', 'egress: lost').replace('egress-sample', 'lost');
    await api.mustApply(...objectsIn(lost.replaceAll('org: empire', 'org: rebels')));
    const rebel = await scheduled(worker, { org: 'rebels', class: 'mediabot' });
    await until(async () =>
      (await api.kubectl(['get', 'events', '-A'])).includes('no node with an InternalIP is a gateway'),
    );
    await added(worker, rebel);
    assert.equal(
      await rebel.ask('tcp', world.service[0]),
      'nothing',
      'what has no gateway is dropped, and does not leave in another way',
    );
    shown(t, await api.kubectl(['get', 'events', '-A']));

    await api.kubectl(['delete', 'ciliumegressgatewaypolicies', '--all']);
    await allLeaveBy([bot], own);
  });
});
