import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { egressEntry, type Json, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** Chain entries that are about no pod of the namespace `other`, for different reasons. */
const entries: Readonly<Record<string, Json>> = {
  'whose namespace no policy names': egressEntry(),
  'without any policy and without a policy file': { type: 'egress' },
  'whose only policies have exit "node" with other namespaces': egressEntry({
    policies: [{ name: 'as-before', namespaces: ['default'], exit: 'node' }],
  }),
};

describe('a pod', labTest, () => {
  for (const [what, egress] of Object.entries(entries)) {
    test(`${what} passes through: the output is prevResult, and nothing is made or remembered`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.withoutEgress(() => node.started('other'));
      await node.write({ egress });
      const before = await snapshot(node);
      for (const command of ['ADD', 'CHECK', 'DEL'] as const) {
        const { code, stdout } = await node.plugin(command, { pod });
        assert.deepEqual([command, code, stdout], [command, 0, command === 'ADD' ? JSON.stringify(pod.result) : '']);
        assertUnchanged(before, await snapshot(node));
        assert.equal(existsSync(node.state('egress')), false, 'the data folder is made only for a record');
      }
    });
  }

  test('passes through unless a policy names it, where policies name pods', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: egressEntry({ policies: [{ ...policy.policies[0], pods: ['db-?', 'web-*'] }] }) });
    for (const [name, sources] of [
      ['web-7d4b-x', world.exitAddress],
      ['db-10', node.addresses('eth0')],
      ['my-web-1', node.addresses('eth0')],
    ] as const) {
      const pod = await node.pod('default', name);
      await node.add(pod);
      assert.deepEqual(await pod.askEach(), sources, name);
    }
  });

  test('without a policy is left alone also where other pods have one', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const steered = await node.started();
    const pod = await node.withoutEgress(() => node.started('other'));
    const [before, records] = [await snapshot(node), await node.records()];
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), records);
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    assert.deepEqual(await steered.askEach(), world.exitAddress);
  });

  test('without a policy is not steered by what a vanished pod left on its address', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ ranges: [{ subnet: '10.0.0.0/24', rangeStart: '10.0.0.9', rangeEnd: '10.0.0.9' }] });
    const vanished = await node.started();
    await node.withoutEgress(() => node.end(vanished));
    const pod = await node.started('other');
    assert.deepEqual(pod.addresses, vanished.addresses);
    assert.equal(await pod.ask('tcp', world.service[0]), node.addresses('eth0')[0]);
  });
});

describe('the output of ADD', labTest, () => {
  for (const namespace of ['default', 'other']) {
    test(`is prevResult to the byte, with numbers, spaces and unknown keys as they were, in namespace ${namespace}`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.withoutEgress(() => node.started(namespace));
      const prevResult = `{ "x": 1.50e3, "deep": [ {"ips":[]} , "\\u00e9\\"}" ],${JSON.stringify(pod.result).slice(1)}`;
      const entry = JSON.stringify({ ...egressEntry(), name: 'cluster', cniVersion: '1.0.0' });
      const stdin = `${entry.slice(0, -1)}, "prevResult" : ${prevResult} }`;
      const { code, stdout } = await node.plugin('ADD', { pod, stdin });
      assert.equal(code, 0, stdout);
      assert.equal(stdout, prevResult);
    });
  }
});

describe('policies', labTest, () => {
  test('work alike from the chain entry, from the default policy file, and from one that is named', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await mkdir(node.configuration('egress'));
    await writeFile(node.configuration('egress/policy.json'), JSON.stringify(policy));
    await writeFile(node.configuration('mine.json'), JSON.stringify({ ...policy, policies: [] }));
    const cases: readonly [Json, readonly string[]][] = [
      [{ type: 'egress' }, world.exitAddress],
      [{ type: 'egress', policyFile: '/etc/cni/mine.json' }, node.addresses('eth0')],
      [{ type: 'egress', policyFile: '/etc/cni/mine.json', policies: policy.policies }, world.exitAddress],
    ];
    for (const [egress, sources] of cases) {
      await node.write({ egress });
      const pod = await node.started();
      assert.deepEqual(await pod.askEach(), sources, JSON.stringify(egress));
      await node.end(pod);
    }
  });
});
