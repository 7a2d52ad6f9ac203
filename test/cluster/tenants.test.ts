import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { internet } from '../support/cluster.ts';
import { allLeaveBy, conditionOf, nameOf, seen, shown, started, until } from '../support/cluster-agents.ts';
import { clusterTest, egressObject } from '../support/cluster-api.ts';
import { blocks } from '../support/documents.ts';
import { Lab } from '../support/lab.ts';
import { world } from '../support/world.ts';

const fromGateways = { gatewaySelector: { matchLabels: { egress: 'gateway' } }, addresses: internet.addresses };

const tenants = (name: string, spec: object) => ({
  ...{ apiVersion: 'egress.cni/v1alpha1', kind: 'NamespacedEgressPolicy' },
  ...{ metadata: { name, namespace: 'default' }, spec },
});

/** The roles that install/README.md gives owners of namespaces, and administrators. */
const roles = blocks.find(({ text }) => text.includes('egress-of-namespaces'))?.text ?? '';

describe('a namespace’s own policies, and Events', clusterTest, () => {
  test('an owner of a namespace steers its pods by what is open to it and by nothing else; Events say what moved, and what does not start', async (t) => {
    await using lab = await Lab.create();
    const { api, cluster, start } = await started(lab);
    const [worker] = cluster.workers;
    assert.ok(worker);
    const agents = new Map(
      await Promise.all(cluster.all.map(async (node) => [nameOf(node), await start(node)] as const)),
    );
    const events = () => api.kubectl(['get', 'events', '-A']);
    await api.mustApply(
      egressObject('EgressExit', 'internet', { ...fromGateways, annotationNamespaces: ['default'] }),
      egressObject('EgressExit', 'internal', { interface: 'eth1' }),
    );
    await api.kubectl(['apply', '-f', '-'], roles);
    await api.kubectl(['create', 'rolebinding', 'owner', '--clusterrole=egress-of-namespaces', '--user=owner']);
    const asOwner = (object: object) => api.kubectl(['apply', '--as=owner', '-f', '-'], JSON.stringify(object));
    for (const [kind, answer] of [
      ['namespacedegresspolicies', 'yes'],
      ['egresspolicies', 'no'],
      ['egressexits', 'no'],
    ] as const)
      assert.equal((await api.try(['auth', 'can-i', 'create', kind, '--as=owner'])).stdout.trim(), answer, kind);

    const pod = await worker.started();
    const [own] = await seen([pod]);
    await asOwner(tenants('out', { destinations: world.outside, exit: 'internet' }));
    await allLeaveBy([pod], internet.addresses[0]);
    await api.until('namespacedegresspolicy', 'out', ({ status }) => status?.pods === 1);

    await asOwner(tenants('more', { destinations: ['203.0.113.0/24'], exit: 'internal' }));
    const refused = await api.until('namespacedegresspolicy', 'more', (object) => conditionOf(object, 'Accepted'));
    const { status, message } = conditionOf(refused, 'Accepted');
    assert.equal(status, 'False');
    assert.match(
      message,
      /exit "internal" is not open to pods of namespace "default" by its "annotationNamespaces", expected one of "drop", "internet"/,
    );
    shown(t, await api.kubectl(['get', 'egressexits,namespacedegresspolicies', '-A', '-o', 'wide']));
    await assert.rejects(
      asOwner(tenants('all', { namespaces: ['*'], exit: 'internet' })),
      /unknown field "spec.namespaces"/,
    );
    await api.kubectl(['delete', 'namespacedegresspolicy', 'more']);
    await allLeaveBy([pod], internet.addresses[0]);

    // Both gateways, one after the other: one of them is the node that writes the status for all.
    for (const _ of cluster.gateways) {
      const { status: before } = await api.get('egressexit', 'internet');
      const gone = cluster.gateways.find((node) => nameOf(node) === before.holder);
      assert.ok(gone);
      await agents.get(nameOf(gone))?.end();
      await until(async () => (await events()).includes(`The exit has moved from ${before.holder} to `));
      agents.set(nameOf(gone), await start(gone));
    }
    await allLeaveBy([pod], internet.addresses[0]);

    await api.mustApply(
      egressObject('EgressPolicy', 'labelled', {
        namespaces: ['*'],
        podSelector: { matchLabels: { a: 'b' } },
        exit: 'internet',
      }),
    );
    const unknown = await worker.pod();
    await until(async () => (await worker.cnitool('add', unknown)).code !== 0);
    await until(async () => (await events()).includes('those of the pod are not known'));
    shown(t, await events());
    await api.kubectl(['delete', 'egresspolicies,namespacedegresspolicies', '--all']);
    await allLeaveBy([pod], own ?? '');
  });
});
