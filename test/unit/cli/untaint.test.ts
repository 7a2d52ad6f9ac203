import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepUntainted } from '../../../src/cli/untaint.ts';
import type { KubernetesApi } from '../../../src/kubernetes/client.ts';
import { Bell } from '../../../src/loop/watch.ts';

/** What promises and immediate callbacks do before it. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('the taint is asked for when the node gets ready and not before, and each answer is told once', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const pass = async (milliseconds: number) => {
    for (let left = milliseconds; left > 0; left -= 50) {
      context.mock.timers.tick(Math.min(50, left));
      await settled();
    }
  };
  const [bell, controller] = [new Bell(), new AbortController()];
  const [asked, told]: [string[], string[]] = [[], []];
  const answers = [403, 403, 200];
  const api: KubernetesApi = {
    get: async (path) => {
      asked.push(path);
      return { status: answers.shift() ?? 200, body: { message: 'no', metadata: { resourceVersion: '1' }, spec: {} } };
    },
    patch: () => assert.fail('there is no taint'),
  };
  let isReady = false;
  let now = 0;
  const kept = keepUntainted({
    tools: { api, node: 'one', now: () => now },
    isReady: () => isReady,
    bell,
    signal: controller.signal,
    write: (text) => told.push(`out ${text}`),
    remark: (text) => told.push(`err ${text}`),
  });
  await pass(500);
  assert.deepEqual([asked, told], [[], []]);

  isReady = true;
  for (now = 1; now < 20_000; now += 4_000) {
    bell.ring();
    await pass(500);
  }
  assert.deepEqual(asked, Array(3).fill('/api/v1/nodes/one'));
  assert.deepEqual(told, [
    'err egress: taint: Could not read the node one: 403 no\n',
    'out taint: the node one has no egress.cni/not-ready\n',
  ]);
  controller.abort();
  await pass(500);
  await kept;
});
