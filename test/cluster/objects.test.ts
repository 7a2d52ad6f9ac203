import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { internet } from '../support/cluster.ts';
import { allLeaveBy, conditionOf, seen, shown, started, until } from '../support/cluster-agents.ts';
import { ClusterApi, clusterTest, egressObject, type Shown } from '../support/cluster-api.ts';
import { Lab } from '../support/lab.ts';
import type { Pod } from '../support/pod.ts';
import { world } from '../support/world.ts';

const exit = (spec: object, name = 'internet') => egressObject('EgressExit', name, spec);
const policy = (spec: object, name = 'internet') => egressObject('EgressPolicy', name, spec);

const fromGateways = {
  gatewaySelector: { matchLabels: { egress: 'gateway' } },
  addresses: internet.addresses,
};
const outside = { namespaces: ['default'], destinations: world.outside, exit: 'internet' };

describe('the definitions of kinds at a real API server', clusterTest, () => {
  test('refuse mistakes with the words of "egress validate", and are explained by kubectl', async (t) => {
    await using lab = await Lab.create();
    const api = await ClusterApi.start(lab);
    const refused = async (object: object, words: string) => {
      const { code, stderr } = await api.apply(object);
      shown(t, stderr);
      assert.equal(code, 1, JSON.stringify(object));
      assert.ok(stderr.includes(words), `${stderr} has no "${words}"`);
    };
    await refused(
      exit({ interface: 'eth1', addresses: ['172.18.0.300'] }),
      'expected an IP address, got "172.18.0.300"',
    );
    await refused(exit({ addresses: ['172.18.0.33'] }), 'expected "interface" (leave from the pod’s node)');
    await refused(
      exit({ gateways: ['172.18.0.3'] }),
      'expected the addresses that pods are seen with, whichever of the "gateways" they leave by',
    );
    await refused(exit({ interface: 'eth1' }, 'drop'), 'expected another name than those of the built-in exits');
    await refused(exit({ interface: 'eth1', addreses: [] }), 'unknown field');
    await refused(
      policy({ ...outside, destinations: ['203.0.113.0/33'] }),
      'expected an IP address range like "10.0.0.0/8", got "203.0.113.0/33"',
    );
    await refused(policy({ ...outside, ports: ['tcp:https'] }), 'spec.ports[0]');
    await refused(policy({ destinations: ['203.0.113.0/24'], exit: 'internet' }), 'namespaces');
    await refused(policy({ ...outside, onChange: 'drop' }), 'supported values: "keep", "cut"');
    await api.kubectl(['apply', '-f', join(import.meta.dirname, '../../install/objects.yaml')]);
    await api.mustApply(exit({ interface: 'eth1', nextHop: '192.168.0.1' }, 'one'));
    await api.mustApply(exit({ interface: 'eth1', nextHop: ['192.168.0.1', 'fd00:168::1'] }, 'two'));
    const { spec } = await api.get('egressexit', 'one');
    assert.deepEqual([spec.onUnavailable, spec.announce, spec.annotationNamespaces], ['drop', 'vrrp', []]);
    const explained = await api.kubectl(['explain', 'egresspolicy.spec']);
    shown(t, explained);
    assert.match(explained, /destinations\s+<\[\]string>/);
    assert.match(
      explained.replaceAll(/\s+/g, ' '),
      /Where the packets go to\. The ranges of the cluster are never steered/,
    );
  });
});

describe('exits and policies as objects of a cluster', clusterTest, () => {
  test('three pods show one address, of a gateway that labels choose; the API server may go, and what it says comes back', async (t) => {
    await using lab = await Lab.create();
    const { api, cluster, start } = await started(lab);
    const [worker] = cluster.workers;
    assert.ok(worker);
    await assert.rejects(worker.started(), /"kubernetes", and .*objects\.json is not there yet/);
    for (const node of cluster.all) await start(node);
    const pods = await cluster.startedOnEach();
    assert.equal(new Set(await seen(pods)).size, 3, 'without a policy each leaves with its node’s address');

    await api.mustApply(exit(fromGateways), policy(outside));
    await allLeaveBy(pods, internet.addresses[0]);
    const isAllSaid = ({ status }: Shown) =>
      status?.pods === 3 && /^node-[34]$/.test(status.holder ?? '') && status.answering === '2/2';
    const object = await api.until('egressexit', 'internet', isAllSaid);
    await api.until('egresspolicy', 'internet', ({ status }) => status?.pods === 3);
    shown(t, await api.kubectl(['get', 'egressexits,egresspolicies']));
    shown(t, await api.kubectl(['get', 'egressexit', 'internet', '-o', 'yaml']));
    assert.deepEqual(object.status.gateways, ['172.18.0.3', '172.18.0.4']);
    assert.deepEqual([conditionOf(object, 'Accepted').status, conditionOf(object, 'Ready').status], ['True', 'True']);

    await api.stopServer();
    const late = await worker.started();
    assert.equal(await late.ask('tcp', world.service[0]), internet.addresses[0], 'nobody asks the API on ADD');
    await worker.end(late);
    await api.startServer();
    await api.kubectl(['delete', 'egresspolicy', 'internet']);
    await until(async () => new Set(await seen(pods)).size === 3);
  });

  test('a wrong object changes nothing but itself, and says what is wrong with it', async (t) => {
    await using lab = await Lab.create();
    const { api, cluster, start } = await started(lab);
    for (const node of cluster.all) await start(node);
    const pods = await cluster.startedOnEach();
    await api.mustApply(exit(fromGateways), policy(outside));
    await allLeaveBy(pods, internet.addresses[0]);

    await api.mustApply(
      policy({ namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'internt', priority: 5 }, 'typo'),
    );
    const refused = await api.until('egresspolicy', 'typo', (object) => conditionOf(object, 'Accepted'));
    const { status, message } = conditionOf(refused, 'Accepted');
    shown(t, await api.kubectl(['get', 'egresspolicies', '-o', 'wide']));
    assert.equal(status, 'False');
    assert.match(message, /^#\/spec\/exit: unknown exit "internt", did you mean "internet"\?/);
    assert.deepEqual(new Set(await seen(pods)), new Set([internet.addresses[0]]), 'running pods keep what they have');
    const [worker] = cluster.workers;
    assert.ok(worker);
    const young = await worker.started();
    assert.equal(await young.ask('tcp', world.service[0]), 'nothing', 'new ones may not leave in another way');

    await api.mustApply(exit({ ...fromGateways, interface: 'eth0', nextHop: '172.18.0.300' }));
    const broken = await api.until(
      'egressexit',
      'internet',
      (object) => conditionOf(object, 'Accepted')?.status === 'False',
    );
    assert.match(
      conditionOf(broken, 'Accepted').message,
      /^#\/spec\/nextHop: expected an IP address, got "172\.18\.0\.300"/,
    );
    assert.deepEqual(new Set(await seen(pods)), new Set([internet.addresses[0]]));
    await api.kubectl(['delete', 'egresspolicy', 'typo']);
    await allLeaveBy([...pods, young], internet.addresses[0]);
  });

  test('pods are chosen by their labels, from the first packet; changed labels are followed, and nobody starts by a guess', async () => {
    await using lab = await Lab.create();
    const { api, cluster, start, scheduled } = await started(lab);
    const [worker] = cluster.workers;
    assert.ok(worker);
    const agents = await Promise.all(cluster.all.map(start));
    const podSelector = { matchExpressions: [{ key: 'app', operator: 'In', values: ['web'] }] };
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': 'default' } };
    await api.mustApply(exit(fromGateways), policy({ ...outside, podSelector, namespaceSelector }));
    const own = worker.addresses('eth0')[0];

    const added = async (pod: Pod) => {
      await worker.add(pod);
      return pod;
    };
    const outsideOf = (pod: Pod) => pod.ask('tcp', world.service[0]);
    await api.kubectl(['create', 'serviceaccount', 'default']);
    const kept = worker.state('egress/agent/objects.json');
    await until(async () => (await readFile(kept, 'utf8').catch(() => '')).includes('podSelector'));

    const web = await added(await scheduled(worker, { app: 'web' }));
    // A gateway may be just about to serve: until then its packets are dropped, and never seen with the node's address.
    await until(async () => {
      const seen = await outsideOf(web);
      assert.notEqual(seen, own);
      return seen === internet.addresses[0];
    });
    const db = await added(await scheduled(worker, { app: 'db' }));
    assert.equal(await outsideOf(db), own);

    await api.kubectl(['label', 'pod', db.name, 'app=web', '--overwrite']);
    await until(async () => (await outsideOf(db)) === internet.addresses[0]);
    await api.kubectl(['label', 'pod', web.name, 'app-']);
    await until(async () => (await outsideOf(web)) === own);

    const other = await scheduled(worker, { app: 'web' });
    other.uid = 'of-a-pod-before';
    const refusal = await worker.cnitool('add', other);
    assert.match(refusal.stdout + refusal.stderr, /the API server knows another pod of that name/);

    await api.stopServer();
    const unknown = await worker.cnitool('add', await worker.pod());
    assert.match(unknown.stdout + unknown.stderr, /does not tell those of pod .*Kubernetes API at 172\.18\.0\.2/);
    assert.equal(await outsideOf(db), internet.addresses[0], 'running pods keep what they have');
    for (const agent of agents) await agent.end();
    const { code, stderr, stdout } = await worker.cnitool('add', await worker.pod());
    assert.equal(code, 1);
    assert.match(stderr + stdout, /does not tell those of pod/);
  });
});
