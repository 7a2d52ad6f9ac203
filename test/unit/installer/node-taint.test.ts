import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { EgressError } from '../../../src/base/errors.ts';
import { NodeTaint, removeStartupTaint, startupTaint } from '../../../src/installer/node-taint.ts';
import { inClusterApi, type KubernetesApi } from '../../../src/kubernetes/client.ts';
import { ApiServer, type Change } from '../../support/api-server.ts';
import { certificateForLoopback } from '../../support/certificate.ts';

const { certificate, key } = certificateForLoopback();

const ours = { key: startupTaint, effect: 'NoSchedule' };
const others = [
  { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule', timeAdded: '2026-01-01T00:00:00Z' },
  { key: 'egress.cni/not-ready-too', effect: 'NoExecute', value: 'x' },
];

describe('the taint that new nodes register with', () => {
  const kubernetes = new ApiServer(certificate, key);
  let files: Record<string, string>;
  const api = (): KubernetesApi => {
    const { port } = kubernetes.server.address() as AddressInfo;
    const opened = inClusterApi({
      host: '127.0.0.1',
      port: String(port),
      account: '/account',
      readFile: (path) => files[path],
    });
    assert.ok(opened);
    return opened;
  };

  before(() => once(kubernetes.server.listen(0, '127.0.0.1'), 'listening'));
  after(() => kubernetes.server.close());
  beforeEach(() => {
    files = { '/account/token': 'first\n', '/account/ca.crt': certificate };
    Object.assign(kubernetes, {
      taints: [],
      version: 1,
      token: 'first',
      asked: [],
      forbidden: undefined,
      meanwhile: () => {},
    });
  });

  test('is removed with every effect, and no other taint is touched', async () => {
    kubernetes.taints = [others[0] ?? {}, ours, { ...ours, effect: 'NoExecute' }, others[1] ?? {}];
    assert.equal(await removeStartupTaint(api(), 'one'), true);
    assert.deepEqual(kubernetes.taints, others);
  });

  test('is not looked for in vain: a node without it is read once and not written', async () => {
    kubernetes.taints = others;
    assert.equal(await removeStartupTaint(api(), 'one'), false);
    assert.deepEqual(kubernetes.asked, ['GET /api/v1/nodes/one']);
  });

  test('is removed from what the node has now, when somebody changed it meanwhile', async () => {
    kubernetes.taints = [ours];
    kubernetes.meanwhile = () => {
      kubernetes.meanwhile = () => {};
      kubernetes.taints = [...others, ours];
      kubernetes.version++;
    };
    assert.equal(await removeStartupTaint(api(), 'one'), true);
    assert.deepEqual(kubernetes.taints, others);
    assert.equal(kubernetes.asked.length, 4);
  });

  test('stays for a later attempt when somebody changes the node all the time', async () => {
    kubernetes.taints = [ours];
    kubernetes.meanwhile = () => kubernetes.version++;
    await rejects(removeStartupTaint(api(), 'one'), 'try-again', /the node one was changed by others in each of 5/i);
    assert.deepEqual(kubernetes.taints, [ours]);
  });

  for (const [method, aim] of [
    ['GET', 'read the node one'],
    ['PATCH', 'remove the taint egress.cni/not-ready from the node one'],
  ] as const) {
    test(`stays when ${method} is forbidden, and the API server's reason is told`, async () => {
      Object.assign(kubernetes, { taints: [ours], forbidden: method });
      const message = new RegExp(`^Could not ${aim}: 403 nodes "one" is forbidden$`);
      await rejects(removeStartupTaint(api(), 'one'), 'kubernetes-refused', message);
    });
  }

  test('is removed with the token of now: the kubelet exchanges it', async () => {
    const opened = api();
    files['/account/token'] = 'second';
    Object.assign(kubernetes, { taints: [ours], token: 'second' });
    assert.equal(await removeStartupTaint(opened, 'one'), true);
  });

  test('is asked of nobody whose certificate is not signed by the CA of the cluster', async () => {
    files['/account/ca.crt'] = certificateForLoopback().certificate;
    await rejects(removeStartupTaint(api(), 'one'), 'try-again', /127\.0\.0\.1.*(self.signed|signature)/i);
    assert.deepEqual(kubernetes.asked, []);
  });

  test('stays for a later attempt when nobody answers', async () => {
    const opened = inClusterApi({
      host: '127.0.0.1',
      port: '1',
      account: '/account',
      readFile: (path) => files[path],
    });
    assert.ok(opened);
    await rejects(removeStartupTaint(opened, 'one'), 'try-again', /127\.0\.0\.1 port 1: .*ECONNREFUSED/);
  });

  test('is none of our business without a token', () => {
    files = {};
    const without = { host: '127.0.0.1', port: '1', account: '/account', readFile: (path: string) => files[path] };
    assert.equal(inClusterApi(without), undefined);
  });
});

describe('looking after the taint', () => {
  /** An API whose answers a test gives, a clock, and how often it was asked. */
  class Cluster implements KubernetesApi {
    time = 0;
    asked = 0;
    taints: object[] = [ours];
    fails = false;

    async get() {
      this.asked++;
      if (this.fails) throw new EgressError('try-again', 'no route to host');
      return { status: 200, body: { metadata: { resourceVersion: '1' }, spec: { taints: this.taints } } };
    }

    async patch(_path: string, change: object) {
      this.taints = (change as Change).spec.taints;
      return { status: 200, body: {} };
    }
  }

  const lookingAfter = (cluster: Cluster) => new NodeTaint({ api: cluster, node: 'one', now: () => cluster.time });

  test('says that it removed it, asks no more for five minutes, and then again: the node may be registered anew', async () => {
    const cluster = new Cluster();
    const taint = lookingAfter(cluster);
    const removed = { ok: true, text: 'removed egress.cni/not-ready from the node one' };
    assert.deepEqual(await taint.look(), { ...removed, lookAgainMs: 300_000 });
    cluster.time = 299_999;
    assert.deepEqual(await taint.look(), { ...removed, lookAgainMs: 1 });
    assert.equal(cluster.asked, 1);
    Object.assign(cluster, { time: 300_000, taints: [ours] });
    await taint.look();
    assert.deepEqual([cluster.asked, cluster.taints], [2, []]);
  });

  test('says what goes wrong, and asks again more and more slowly, but every minute', async () => {
    const cluster = new Cluster();
    cluster.fails = true;
    const taint = lookingAfter(cluster);
    const pauses: unknown[] = [];
    for (let i = 0; i < 8; i++) {
      const { ok, text, lookAgainMs = 0 } = await taint.look();
      assert.deepEqual([ok, text], [false, 'no route to host']);
      pauses.push(lookAgainMs);
      cluster.time += lookAgainMs;
    }
    assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    cluster.fails = false;
    assert.equal((await taint.look()).ok, true);
  });

  for (const [missing, tools] of Object.entries({
    'there is no token of a service account': { api: undefined, node: 'one' },
    'the name of the node is not known': { api: new Cluster(), node: undefined },
  })) {
    test(`says why nobody is asked when ${missing}`, async () => {
      const found = await new NodeTaint({ ...tools, now: () => 0 }).look();
      assert.deepEqual(found, { ok: true, text: `egress.cni/not-ready is not looked after: ${missing}` });
    });
  }
});

async function rejects(promise: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof EgressError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}
