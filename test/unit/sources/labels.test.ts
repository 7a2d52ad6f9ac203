import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { answerQuestions } from '../../../cmd/labels.ts';
import { answerForLabels, type LabelSource, noLabels } from '../../../src/agent/label-answers.ts';
import type { Pod } from '../../../src/policy/match.ts';
import { labelSocketOf } from '../../../src/sources/labels.ts';

const pod = { namespace: 'blue', name: 'web-0', uid: 'u-1', annotations: { policy: 'a' } };
const labels = { pod: { app: 'web' }, namespace: {} };

function folder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'egress-labels-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

/** As ADD asks, in another thread. */
async function askLabels(pod: Pod, dataDir: string): Promise<unknown> {
  const thread = new Worker(new URL('../support/ask-labels-thread.ts', import.meta.url), {
    workerData: { pod, dataDir },
  });
  const { labels, problem } = await new Promise<{ labels?: unknown; problem?: object }>((resolve, reject) => {
    thread.once('message', resolve).once('error', reject);
  });
  await thread.terminate();
  if (problem !== undefined) throw problem;
  return labels;
}

/** A source that knows one pod, and writes down who was asked for. */
const sourceOf = (asked: unknown[]): LabelSource => ({
  labelsOf: () => undefined,
  ask: async (question) => {
    asked.push(question);
    return labels;
  },
});

describe('the labels of a pod', () => {
  test('are told by the agent of the data folder, which is asked for names and UID', async () => {
    using data = folder();
    const asked: unknown[] = [];
    using _answers = await answerQuestions(labelSocketOf(data.path), (line) => answerForLabels(line, sourceOf(asked)));
    assert.deepEqual(await askLabels(pod, data.path), labels);
    assert.deepEqual(asked, [{ namespace: 'blue', name: 'web-0', uid: 'u-1' }]);
    assert.equal(statSync(labelSocketOf(data.path)).mode & 0o777, 0o600);
  });

  test('are told by the next agent, too, when one was killed', async () => {
    using data = folder();
    mkdirSync(join(data.path, 'agent'));
    const dies = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', dies, labelSocketOf(data.path)]);
    assert.ok(statSync(labelSocketOf(data.path)).isSocket());
    using _answers = await answerQuestions(labelSocketOf(data.path), (line) => answerForLabels(line, sourceOf([])));
    assert.deepEqual(await askLabels(pod, data.path), labels);
  });

  const begin = 'Policies choose by labels, and "egress agent" of this node does not tell those of pod blue/web-0: ';
  const refusedWith = (why: RegExp) => ({ code: 'try-again', message: new RegExp(`^${begin}${why.source}`) });

  test('are not told without an agent, nor by one without Kubernetes, nor in words that are none', async () => {
    using data = folder();
    await assert.rejects(askLabels(pod, data.path), refusedWith(/connect ENOENT .*labels\.sock$/));
    for (const [answer, why] of [
      [(line: string) => answerForLabels(line, noLabels), /it runs without a Kubernetes API/],
      [async () => '{"labels":{"pod":{"app":1},"namespace":{}}}\n', /its answer is none$/],
      [async () => 'hello\n', /its answer is none$/],
      [async () => '', /the connection ended without an answer$/],
    ] as const) {
      using _answers = await answerQuestions(labelSocketOf(data.path), answer);
      await assert.rejects(askLabels(pod, data.path), refusedWith(why));
    }
  });

  test('are not waited for longer than the deadline, when an agent hangs', async () => {
    using data = folder();
    mkdirSync(join(data.path, 'agent'));
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(labelSocketOf(data.path), resolve));
    await assert.rejects(askLabels(pod, data.path), refusedWith(/no answer within 2 s$/));
    silent.close();
  });

  test('are not asked for by lines that name no pod', async () => {
    for (const line of ['', '[]', '{"name":"a"}', '{"namespace":"a","name":1}', 'x'])
      assert.equal(await answerForLabels(line, noLabels), '{"problem":"the question names no pod"}\n');
  });

  test('need a place where a socket can be', async () => {
    using data = folder();
    writeFileSync(join(data.path, 'agent'), '');
    await assert.rejects(answerQuestions(labelSocketOf(data.path), async () => ''));
  });
});
