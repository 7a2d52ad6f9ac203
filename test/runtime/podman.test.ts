import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Lab } from '../support/lab.ts';
import { Podman } from '../support/runtime/podman.ts';
import { runtimeTest } from '../support/runtime/runtime.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const byExit = [...world.exitAddress];

/** podman has no namespaces of pods, and its name of a container is that of the pod. */
const policies = [{ name: 'web', namespaces: ['*'], pods: ['web-*'], destinations: world.outside, exit: 'partners' }];

describe('a container of podman', runtimeTest, () => {
  test('leaves by the exit when a policy for all namespaces names it, and as the node when not', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await using podman = await Podman.create(node, policies);
    await podman.start('web-1');
    await podman.start('db-1');
    assert.deepEqual(await podman.askEach('web-1'), byExit);
    assert.deepEqual(await podman.askEach('db-1'), node.addresses('eth0'));
  });

  test('is gone with everything when it is removed', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await using podman = await Podman.create(node, policies);
    await podman.start('db-1', '--publish=18000:8080');
    await podman.call('rm', '--force', '--time=0', 'db-1');
    const before = await snapshot(node);
    await podman.start('web-1', '--publish=18080:8080');
    assert.match(await snapshot(node), /table inet cni-egress/);
    const removed = await podman.call('rm', '--force', '--time=0', 'web-1');
    assert.equal(removed.code, 0, removed.stderr);
    assert.doesNotMatch(removed.stderr, /egress/);
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
    assert.deepEqual(
      (await readdir(node.state('networks/cluster'))).filter((name) => /^[\d.]+$|:/.test(name)),
      [],
    );
  });
});
