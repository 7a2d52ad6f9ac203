import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Lab } from '../support/lab.ts';
import { containerdOn, leftovers, policyFile, runtimeTest, settle, writePolicy } from '../support/runtime/runtime.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const byExit = [...world.exitAddress];
const steered = { namespace: 'steered' };

describe('a pod that was there before containerd started again', runtimeTest, () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`still leaves by the exit, and is gone with everything when it is stopped and removed, after ${signal}`, async () => {
      await using lab = await Lab.create();
      await using containerd = await containerdOn(lab);
      await settle(containerd);
      const before = await snapshot(containerd.node);
      const pods = [await containerd.pod(steered), await containerd.pod(steered)];
      await containerd.stopDaemon(signal);
      await containerd.startDaemon();
      for (const pod of pods) assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
      for (const pod of pods) await pod.end();
      assert.deepEqual(await leftovers(containerd), []);
      assertUnchanged(before, await snapshot(containerd.node));
    });
  }

  test('is deleted when the chain lost egress meanwhile, and GC takes what is left when it is back', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    await settle(containerd);
    const before = await snapshot(containerd.node);
    const pod = await containerd.pod(steered);
    await containerd.write({ egress: undefined });
    await pod.end();
    await containerd.write({});
    assert.notDeepEqual(await leftovers(containerd), []);
    const gone = await containerd.node.egress('gc');
    assert.equal(gone.code, 0, gone.stderr);
    assert.deepEqual(await leftovers(containerd), []);
    assertUnchanged(before, await snapshot(containerd.node));
  });
});

describe('removing a pod', runtimeTest, () => {
  test('calls DEL again, without network namespace and prevResult, and again when it is repeated', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const [stays, goes] = [await containerd.pod(steered), await containerd.pod(steered)];
    await goes.stop();
    const { network } = await goes.status();
    assert.ok(!containerd.machine.podNetworks().some((line) => line.includes(network)));
    await goes.stop();
    await goes.remove();
    await goes.remove();
    assert.deepEqual(await stays.askEach('tcp', world.service), byExit);
  });

  test('works with a policy file that is broken or gone meanwhile', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    await settle(containerd);
    const before = await snapshot(containerd.node);
    for (const broken of ['{ "exits": [', '{ "exits": 7 }', JSON.stringify({ ...policyFile, exits: [] })]) {
      await writePolicy(containerd.node);
      const pod = await containerd.pod(steered);
      assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
      await writePolicy(containerd.node, broken);
      await pod.end();
      assert.deepEqual(await leftovers(containerd), [], broken);
    }
    assertUnchanged(before, await snapshot(containerd.node));
  });
});
