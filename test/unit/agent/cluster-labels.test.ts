import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ClusterLabels } from '../../../src/agent/cluster-labels.ts';
import type { Configuration } from '../../../src/config/configuration.ts';
import type { ClusterApi } from '../../../src/kubernetes/client.ts';
import { policy } from '../policy/arbitraries.ts';

const pod = { namespace: 'shop', name: 'web', uid: 'one' };
const answers: Readonly<Record<string, object>> = {
  pods: { metadata: { namespace: 'shop', name: 'web', uid: 'one', labels: { app: 'web' } } },
  namespaces: { metadata: { name: 'shop', labels: { team: 'a' } } },
};

/** An API server that answers a list when it is told to; a watch stays open. */
function server() {
  const waiting: (() => void)[] = [];
  const api = {
    get: async (path: string) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      const [, kind = ''] = /([a-z]+)\?/.exec(path) ?? [];
      return { status: 200, body: { items: [answers[kind]], metadata: { resourceVersion: '1' } } };
    },
    follow: (_path: string, _take: unknown, signal: AbortSignal) =>
      new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
  } as unknown as ClusterApi;
  return { api, answer: () => waiting.splice(0).forEach((resolve) => void resolve()) };
}

const byLabels = { policies: [policy('web', { podSelector: [{ key: 'app', operator: 'In', values: ['web'] }] })] };
const without = { policies: [] } as Pick<Configuration, 'policies'>;

describe('labels of a cluster', () => {
  test('are there in the first round that needs them: it waits for the first answers', async (t) => {
    const { api, answer } = server();
    using labels = new ClusterLabels({ api, node: 'one', report: t.assert.fail, changed: () => {} });
    await labels.prepared(without);
    assert.equal(labels.labelsOf(pod), undefined);
    let isOver = false;
    const prepared = labels.prepared(byLabels).then(() => {
      isOver = true;
    });
    await new Promise(setImmediate);
    assert.equal(isOver, false);
    answer();
    await prepared;
    assert.deepEqual(labels.labelsOf(pod), { pod: { app: 'web' }, namespace: { team: 'a' } });
    await labels.prepared(byLabels); // and does not wait again
  });
});
