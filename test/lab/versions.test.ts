import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cniVersions } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** Debian's plugins speak nothing newer; for a newer version they run in this one, and egress is called by itself. */
const newestOfPrimary = '1.0.0';

const hasCheck = (version: string) => !version.startsWith('0.3.');

describe('in version', labTest, () => {
  for (const version of cniVersions.filter((known) => known <= newestOfPrimary)) {
    test(`${version} the runtime’s library gets through ADD, CHECK, DEL and DEL again`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.write({ cniVersion: version });
      await node.settle();
      const before = await snapshot(node);
      const pod = await node.started();
      assert.equal(pod.result?.cniVersion, version);
      await assertSteered(pod);
      if (hasCheck(version)) assert.deepEqual(await node.cnitool('check', pod), { code: 0, stdout: '', stderr: '' });
      await node.del(pod);
      await node.end(pod);
      assertUnchanged(before, await snapshot(node));
    });
  }

  for (const version of cniVersions) {
    test(`${version} a call of its own gets through ADD, ADD again, CHECK, DEL and DEL again`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await plainPod(node, version);
      for (const command of ['ADD', 'ADD', ...(hasCheck(version) ? (['CHECK'] as const) : [])] as const) {
        const { code, stdout } = await node.plugin(command, { pod });
        assert.equal(code, 0, stdout);
        assert.equal(stdout, command === 'ADD' ? JSON.stringify({ ...pod.result, cniVersion: version }) : '');
        await assertSteered(pod);
      }
      for (const command of ['DEL', 'DEL'] as const) {
        assert.deepEqual(await node.plugin(command, { pod }), { code: 0, stdout: '', stderr: '', json: undefined });
      }
    });

    test(`${version} VERSION names all versions, and an error is told in the same version`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const { code, json } = await node.plugin('VERSION', { stdin: JSON.stringify({ cniVersion: version }) });
      assert.deepEqual({ code, json }, { code: 0, json: { cniVersion: version, supportedVersions: cniVersions } });
      const error = await node.plugin('ADD', { pod: await node.pod(), config: { cniVersion: version } });
      assert.equal((error.json as { cniVersion: string }).cniVersion, version);
    });
  }
});

describe('VERSION', labTest, () => {
  for (const stdin of ['', '{}', 'no JSON', '{"cniVersion":"9.9.9"}']) {
    test(`answers with the newest version when stdin is ${JSON.stringify(stdin)}`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const { code, json } = await node.plugin('VERSION', { stdin });
      assert.deepEqual({ code, json }, { code: 0, json: { cniVersion: '1.1.0', supportedVersions: cniVersions } });
    });
  }
});

/** A pod that the primary plugin made, on a network whose chain is then in `version`. */
async function plainPod(node: LabNode, version: string): Promise<Pod> {
  await node.write({ cniVersion: version <= newestOfPrimary ? version : newestOfPrimary });
  const pod = await node.withoutEgress(() => node.started());
  await node.write({ cniVersion: version });
  return pod;
}

async function assertSteered(pod: Pod): Promise<void> {
  assert.deepEqual(await pod.askEach(), world.exitAddress);
}
