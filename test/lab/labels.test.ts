import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { answerQuestions } from '../../cmd/labels.ts';
import { answerForLabels } from '../../src/agent/label-answers.ts';
import type { PodLabels } from '../../src/policy/selector.ts';
import { labelSocketOf } from '../../src/sources/labels.ts';
import { RunningAgent } from '../support/agent.ts';
import { partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import { world } from '../support/world.ts';

const [own] = policy.policies;
const document = {
  ...policy,
  exits: [partners],
  policies: [{ ...own, podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['web'] }] } }],
};

async function nodeIn(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  await writeFile(node.configuration('policy.json'), JSON.stringify(document));
  await node.write({ egress: { type: 'egress', policyFile: '/etc/cni/policy.json' } });
  return node;
}

/** Answers in the place of an agent: what an API server says of labels is the cluster's own tier. */
const answering = (node: LabNode, labels: PodLabels) =>
  answerQuestions(labelSocketOf(node.state('egress')), (line) =>
    answerForLabels(line, { labelsOf: () => labels, ask: () => assert.fail('they are known') }),
  );

const labelled = (app: string): PodLabels => ({ pod: { app }, namespace: {} });

describe('a pod that a policy chooses by its labels', labTest, () => {
  test('is steered from its first packet when they fit, and left alone when they do not', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const capture = await node.capture();
    {
      using _agent = await answering(node, labelled('web'));
      const web = await node.started();
      assert.deepEqual(await web.askEach(), [...world.exitAddress]);
      const sources = packetsTo(await capture.stop(), ...world.service).map(({ source }) => source);
      assert.deepEqual([...new Set(sources)].sort(), [...world.exitAddress].sort());
      assert.equal((await node.cnitool('check', web)).code, 0);
      const explained = await node.egress(
        'explain',
        `default/${web.name}`,
        '203.0.113.9',
        '--policy',
        '/etc/cni/policy.json',
      );
      assert.match(explained.stdout, /decides: 203\.0\.113\.0\/24 holds the destination/);
    }
    using _agent = await answering(node, labelled('db'));
    const db = await node.started();
    assert.deepEqual(await db.askEach(), node.addresses('eth0'));
    assert.equal((await node.cnitool('check', db)).code, 0);
    const explained = await node.egress(
      'explain',
      `default/${db.name}`,
      '203.0.113.9',
      '--policy',
      '/etc/cni/policy.json',
    );
    assert.match(explained.stdout, /it is for pods with the labels app=web/);
  });

  test('does not start while nobody tells them: without an agent, and with one that knows no Kubernetes', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    const pod = await node.pod();
    const refused = async (why: RegExp) => {
      const { code, stdout, stderr } = await node.cnitool('add', pod);
      assert.equal(code, 1);
      assert.match(stdout + stderr, why);
      await node.del(pod);
    };
    await refused(/does not tell those of pod default\/\S+: connect ENOENT/);
    const agent = await RunningAgent.start(node);
    await refused(/it runs without a Kubernetes API/);
    await agent.end();
    assert.deepEqual(await node.records(), ['agent.json', 'lock']);
  });
});
