import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Cluster, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

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
