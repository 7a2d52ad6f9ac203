import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';

describe('an agent', labTest, () => {
  test('gives pods that ran before their exits, without a restart, and says so', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    const agent = await RunningAgent.start(node);
    await agent.line('a pod from before has its exits now');
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.equal((await node.cnitool('check', pod)).code, 0);
  });

  test('gives running pods what a changed policy file says, and takes it from them', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await writePolicy(node, policy);
    await node.write({ egress: { type: 'egress', policyFile } });
    const [steered, plain] = [await node.started(), await node.started('other')];
    const agent = await RunningAgent.start(node);
    await writePolicy(node, { ...policy, policies: [{ ...policy.policies[0], namespaces: ['other'] }] });
    await agent.line('a pod has no exit any more');
    await agent.line('a pod from before has its exits now');
    assert.deepEqual(await steered.askEach(), node.addresses('eth0'));
    assert.deepEqual(await plain.askEach(), partners.addresses);
    assert.equal((await node.egress('check')).code, 0);
  });

  test('changes nothing for a broken policy file, says so once, and follows the next good one', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await writePolicy(node, policy);
    await node.write({ egress: { type: 'egress', policyFile } });
    const pod = await node.started();
    const agent = await RunningAgent.start(node);
    await writeFile(node.configuration('policy.json'), '{"policies": [');
    await agent.line('The last good configuration stays in force.');
    await node.machine.must(['nft', 'delete', 'table', 'inet', 'cni-egress']);
    await agent.line('put back what somebody had taken or changed');
    assert.deepEqual(await pod.askEach(), partners.addresses);
    await writePolicy(node, { ...policy, policies: [] });
    await agent.line('a pod has no exit any more');
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    const reports = agent.daemon.lines.filter((line) => line.includes('last good'));
    assert.equal(reports.length, 1, agent.daemon.lines.join('\n'));
  });

  test('takes down what pods left that are gone without a DEL', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const agent = await RunningAgent.start(node);
    await pod.network.remove();
    await agent.line('took down what pods left that are gone');
    assert.deepEqual(await node.records(), ['agent.json', 'lock', 'lock']);
  });

  test('is one on a node: a second says who it waits for, and takes over when the first ends', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const first = await RunningAgent.start(node);
    const second = await RunningAgent.startUntil(node, 'Another agent looks after this node');
    assert.equal(await first.end(), 'exit code 0');
    await second.line('the agent looks after this node');
  });

  test('makes one round with --once, prints it, and says that all is well the next time', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.must(['nft', 'flush', 'ruleset']);
    const dry = await node.egress('agent', '--dry-run');
    assert.match(dry.stdout, /nft add table inet cni-egress|add table inet cni-egress/);
    const { code, stdout } = await node.egress('agent', '--once');
    assert.deepEqual([code, stdout.includes('Mended: table inet cni-egress is missing')], [0, true], stdout);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.equal((await node.egress('agent', '--once')).stdout, 'All is as it should be.\n');
  });
});

const policyFile = '/etc/cni/policy.json';

const writePolicy = (node: LabNode, document: object): Promise<void> =>
  writeFile(node.configuration('policy.json'), JSON.stringify(document));
