import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { capabilities } from '../support/chain.ts';
import { Lab } from '../support/lab.ts';
import { refusal } from '../support/runtime/pod.ts';
import { missingContainerd2, releases } from '../support/runtime/releases.ts';
import { containerdOn, leftovers, runtimeTest, settle } from '../support/runtime/runtime.ts';
import { Spy } from '../support/runtime/spy.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { egressBinary, tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

const byExit = [...world.exitAddress];
const steered = { namespace: 'steered' };

/** It is built from the Go module proxy; where that does not answer nobody can do anything, so this is not red. */
const options = { ...runtimeTest, skip: runtimeTest.skip || (missingContainerd2() ?? false) };

const start = (lab: Lab) => containerdOn(lab, { release: releases.two, chain: { cniVersion: '1.1.0' } });

describe('containerd 2', options, () => {
  test('makes pods that are steered, and nothing is left of them', async () => {
    await using lab = await Lab.create();
    await using containerd = await start(lab);
    assert.match((await containerd.cri.call('Version', {})).runtimeVersion ?? '', /^v?2\./);
    await settle(containerd);
    const before = await snapshot(containerd.node);
    const asking = { annotations: { 'egress.cni/policy': 'lab' } };
    const pods = [await containerd.pod(steered), await containerd.pod(asking), await containerd.pod()] as const;
    const seen = await Promise.all(pods.map((pod) => pod.askEach('tcp', world.service)));
    assert.deepEqual(seen, [byExit, byExit, containerd.node.addresses('eth0')]);
    for (const pod of pods) await pod.end();
    assert.deepEqual(await leftovers(containerd), []);
    assertUnchanged(before, await snapshot(containerd.node));
  });

  test('asks egress for its STATUS, and is ready', async () => {
    await using lab = await Lab.create();
    await using containerd = await start(lab);
    const file = join(containerd.node.folder, 'commands');
    await containerd.machine.replacePlugin('egress', `echo $CNI_COMMAND >>${file}\nexec ${egressBinary}`);
    assert.equal((await containerd.conditions()).NetworkReady?.ready, true);
    assert.match(await readFile(file, 'utf8'), /^STATUS$/m);
  });

  test('is not ready, and says why, while egress may not change the network', async () => {
    await using lab = await Lab.create();
    await using containerd = await start(lab);
    const restore = await containerd.machine.replacePlugin(
      'egress',
      `exec ${tool('setpriv')} --bounding-set=-net_admin ${egressBinary}`,
    );
    const { NetworkReady } = await containerd.conditions();
    assert.equal(NetworkReady?.ready, false);
    assert.match(NetworkReady?.message ?? '', /The plugin is not available; .* it needs CAP_NET_ADMIN/);
    await restore();
    assert.equal((await containerd.conditions()).NetworkReady?.ready, true);
  });

  test('passes the reason on when an annotation is refused', async () => {
    await using lab = await Lab.create();
    await using containerd = await start(lab);
    const told = await refusal(containerd.sandbox({ name: 'web', annotations: { 'egress.cni/exit': 'partner' } }));
    assert.ok(told.includes('Pod default/web, annotation "egress.cni/exit": no exit is called "partner"'), told);
    assert.deepEqual(await leftovers(containerd), []);
  });

  test('tells annotations under the name that egress reads, and finds its pods again after a restart', async () => {
    await using lab = await Lab.create();
    await using containerd = await start(lab);
    const spy = await Spy.create(containerd);
    await containerd.write({ cniVersion: '1.1.0', before: [spy.entry({ ...capabilities, portMappings: true })] });
    const annotations = { 'egress.cni/policy': 'lab' };
    const pod = await containerd.pod({ annotations, hostPorts: { 18080: 8080 } });
    const [add] = await spy.calls('ADD');
    assert.deepEqual(add?.request.runtimeConfig, {
      'io.kubernetes.cri.pod-annotations': annotations,
      portMappings: [{ HostPort: 18_080, ContainerPort: 8080, Protocol: 'tcp', HostIP: '' }],
    });
    await containerd.stopDaemon('SIGKILL');
    await containerd.startDaemon();
    assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
    await pod.end();
    assert.deepEqual(await leftovers(containerd), []);
  });
});
