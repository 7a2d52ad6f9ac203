import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from '../support/agent.ts';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { isHeldBy, isServed, until } from '../support/elected.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';

describe('egress uninstall on a gateway', labTest, () => {
  for (const more of [[], ['--drain']] as const) {
    test(`leaves nothing of it behind, its addresses neither${more.length > 0 ? ', with --drain' : ''}`, async () => {
      await using lab = await Lab.create();
      const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
      const [gateway] = cluster.gateways;
      assert.ok(gateway);
      const before = await snapshot(gateway);
      await cluster.up();
      await mkdir(gateway.state('bin'));
      await writeFile(gateway.state('bin/egress'), 'found by --drain');
      const places = ['--bin-dir', '/var/lib/cni/bin', '--policy-file', policyFile];
      const { code, stdout, stderr } = await gateway.egress('uninstall', ...places, ...more);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^"internet" is not served here any more/m);
      assertUnchanged(before, await snapshot(gateway));
      assert.deepEqual(await gateway.records(), ['lock']);
    });
  }

  test('of which it sees the files alone, as in a container, refuses and says what to do', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    const [gateway] = cluster.gateways;
    assert.ok(gateway);
    await cluster.up();
    const before = await snapshot(gateway);
    const { code, stderr } = await gateway.egress('uninstall', '--host-root', '/proc/self/root');
    assert.equal(code, 1);
    assert.match(stderr, /serves "internet" to others: call "egress gateway --down"/);
    assertUnchanged(before, await snapshot(gateway));
  });
});

const places = ['--bin-dir', '/var/lib/cni/bin', '--policy-file', policyFile];

/** A cluster whose gateway is served by an agent, and has the plugin where runtimes look for it. */
async function withAgent(lab: Lab) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
  const [[gateway], [worker]] = [cluster.gateways, cluster.workers];
  assert.ok(gateway && worker);
  await mkdir(gateway.state('bin'));
  await writeFile(gateway.state('bin/egress'), 'found by --drain');
  await gateway.settle();
  const before = await snapshot(gateway);
  return { gateway, worker, before, agent: await RunningAgent.start(gateway) };
}

/** Calls the agent for a look, as any change in the folder of networks does, and waits until it has looked. */
async function anotherRound({ state, configuration }: LabNode): Promise<void> {
  const looked = () => readFile(state('egress/agent/agent.json'), 'utf8');
  const before = await looked();
  await writeFile(configuration('net.d/bell'), '');
  await rm(configuration('net.d/bell'));
  while ((await looked()) === before) await setTimeout(50);
}

/** The ids of the exits that a gateway serves to others, by its record. */
async function servedOn({ state }: LabNode): Promise<readonly number[]> {
  return JSON.parse(await readFile(state('egress/node.json'), 'utf8')).gateway.served;
}

describe('egress uninstall on a gateway with an agent', labTest, () => {
  for (const [where, root] of Object.entries({
    'on the host': [],
    'in a container': ['--host-root', '/proc/self/root'],
  })) {
    test(`with --drain waits until the agent serves nothing any more, and nothing comes back: ${where}`, async () => {
      await using lab = await Lab.create();
      const { gateway, worker, before, agent } = await withAgent(lab);
      const pod = await worker.started();
      assert.deepEqual(await pod.askEach('udp'), internet.addresses);
      const own = await gateway.started('default');
      const uninstall = gateway.egress('uninstall', ...places, ...root, '--drain');
      await agent.line('begins nothing any more');
      assert.deepEqual(await pod.askEach('udp'), internet.addresses);
      await gateway.end(own);
      const { code, stdout, stderr } = await uninstall;
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^1 attachment of pods is steered until it ends$/m);
      assert.match(stdout, /^"internet" is served to others until the agent ends that/m);
      assert.equal(stderr.includes('an agent looks after this node; end it, too'), root.length === 0, stderr);
      await agent.line('serves no exit to others any more');
      await anotherRound(gateway);
      assert.equal(await agent.end(), 'exit code 0');
      assert.deepEqual(await gateway.records(), ['lock']);
      assertUnchanged(before, await snapshot(gateway));
    });
  }

  test('that serves nothing, since another one has the addresses and its own pod went there: nothing is left, either', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    const [first, second] = cluster.gateways;
    assert.ok(first && second);
    await mkdir(second.state('bin'));
    await writeFile(second.state('bin/egress'), 'found by --drain');
    await second.settle();
    const before = await snapshot(second);
    await RunningAgent.start(first);
    await isHeldBy(cluster, first);
    const earlier = await RunningAgent.start(second);
    const own = await second.started();
    await isServed(own);
    await until(async () => (await servedOn(second)).length === 0);
    await earlier.end();
    const inContainer = ['--host-root', '/proc/self/root', '--stay', '--ready-file', second.state('ready.json')];
    const uninstall = await second.machine.start(
      [egressBinary, 'uninstall', ...places, ...inContainer, '--drain'],
      '1 attachment of pods',
    );
    await second.end(own);
    // Only now an agent is there again, as when a DaemonSet has changed.
    await uninstall.line('the node is a gateway until the agent ends that');
    const agent = await RunningAgent.start(second);
    await uninstall.line('egress is off this node');
    await uninstall.stop();
    await anotherRound(second);
    assert.equal(await agent.end(), 'exit code 0');
    assert.deepEqual(await second.records(), ['lock']);
    assertUnchanged(before, await snapshot(second));
  });

  test('without --drain refuses, for the agent would serve again what is taken down', async () => {
    await using lab = await Lab.create();
    const { gateway } = await withAgent(lab);
    const serving = await snapshot(gateway);
    const { code, stderr } = await gateway.egress('uninstall', ...places);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /serves "internet" to others, and an agent looks after this node.*: end the agent first, or say --drain/,
    );
    assertUnchanged(serving, await snapshot(gateway));
  });
});
