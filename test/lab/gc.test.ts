import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { Json } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** Three pods: two on the network blue, one on green, which no GC of blue may touch. */
interface Scene {
  readonly node: LabNode;
  readonly kept: Pod;
  readonly dead: Pod;
  readonly elsewhere: Pod;
}

const keys = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const;
const attachment = ({ containerID, interface: ifname }: Pod) => ({ containerID, ifname });

describe('GC of a network', labTest, () => {
  for (const key of keys) {
    test(`keeps what ${key} names, and removes what it does not`, async () => {
      await using lab = await Lab.create();
      const scene = await makeScene(lab);
      await gc(scene.node, { [key]: [attachment(scene.kept)] });
      await assertSteered(scene, [scene.kept, scene.elsewhere]);
    });

    for (const nobody of [null, []]) {
      test(`removes everything of the network when ${key} is ${JSON.stringify(nobody)}`, async () => {
        await using lab = await Lab.create();
        const scene = await makeScene(lab);
        await gc(scene.node, { [key]: nobody });
        await assertSteered(scene, [scene.elsewhere]);
      });
    }
  }

  test('prefers the key of the specification where a runtime sends both', async () => {
    await using lab = await Lab.create();
    const scene = await makeScene(lab);
    await gc(scene.node, { [keys[0]]: [attachment(scene.kept)], [keys[1]]: [attachment(scene.dead)] });
    await assertSteered(scene, [scene.kept, scene.elsewhere]);
  });

  test('does nothing when the runtime does not say what is valid', async () => {
    await using lab = await Lab.create();
    const scene = await makeScene(lab);
    const before = await snapshot(scene.node);
    await gc(scene.node, {});
    assertUnchanged(before, await snapshot(scene.node));
    await assertSteered(scene, [scene.kept, scene.dead, scene.elsewhere]);
  });

  test('removes nothing, and says so, when what is valid cannot be read', async () => {
    await using lab = await Lab.create();
    const scene = await makeScene(lab);
    for (const value of ['all', [{ containerID: 'a' }], {}]) {
      const { code, json } = await scene.node.plugin('GC', request({ [keys[0]]: value }));
      assert.deepEqual([code, (json as { code: number }).code], [1, 7], JSON.stringify(value));
    }
    await assertSteered(scene, [scene.kept, scene.dead, scene.elsewhere]);
  });

  test('finds by their marks what has lost its record', async () => {
    await using lab = await Lab.create();
    const scene = await makeScene(lab);
    await rm(await recordOf(scene.node, scene.dead));
    await gc(scene.node, { [keys[0]]: [attachment(scene.kept)] });
    await assertSteered(scene, [scene.kept, scene.elsewhere]);
  });

  test('puts a broken record aside, and goes on', async () => {
    await using lab = await Lab.create();
    const scene = await makeScene(lab);
    await writeFile(await recordOf(scene.node, scene.dead), '{"version":');
    await gc(scene.node, { [keys[0]]: [attachment(scene.kept)] });
    await assertSteered(scene, [scene.kept, scene.elsewhere]);
    assert.equal((await readdir(scene.node.state('egress/broken'))).length, 1);
  });

  test('leaves a node without any attachment as it was before the first ADD', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.settle();
    const before = await snapshot(node);
    const pod = await node.started();
    await gc(node, { [keys[0]]: [] }, 'cluster');
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
  });

  test('is twice the same as once', async () => {
    await using lab = await Lab.create();
    const scene = await makeScene(lab);
    await gc(scene.node, { [keys[0]]: [attachment(scene.kept)] });
    const once = await snapshot(scene.node);
    await gc(scene.node, { [keys[0]]: [attachment(scene.kept)] });
    assertUnchanged(once, await snapshot(scene.node));
  });
});

describe('egress gc', labTest, () => {
  test('takes down pods whose interface is gone, and prints with --dry-run the commands that do the same', async () => {
    await using lab = await Lab.create();
    const { node, kept, dead, elsewhere } = await makeScene(lab);
    await dead.network.ip('link delete eth0'); // with the namespace alone it would go at some later moment
    await dead.network.remove();
    const before = await snapshot(node);
    const { stdout: plan } = await node.egress('gc', '--dry-run');
    assertUnchanged(before, await snapshot(node));
    assert.match(plan, new RegExp(`blue/${dead.containerID}/eth0 would be taken down`));
    await node.machine.must(['sh', '-e'], { stdin: plan.replaceAll(/^.* would be taken down$/gm, '') });
    const byHand = await snapshot(node);
    assert.equal((await node.egress('gc')).stdout, `blue/${dead.containerID}/eth0 taken down\n`);
    assertUnchanged(byHand, await snapshot(node));
    await assertSteered({ node, kept, dead, elsewhere }, [kept, elsewhere]);
  });
});

async function makeScene(lab: Lab): Promise<Scene> {
  const node = await lab.node();
  await node.write({
    name: 'blue',
    bridge: 'blue0',
    ranges: [{ subnet: '10.0.1.0/24' }, { subnet: 'fd00:10:0:1::/64' }],
  });
  await node.write({
    name: 'green',
    bridge: 'green0',
    ranges: [{ subnet: '10.0.2.0/24' }, { subnet: 'fd00:10:0:2::/64' }],
  });
  const [kept, dead] = [await node.started('default', 'blue'), await node.started('default', 'blue')];
  return { node, kept, dead, elsewhere: await node.started('default', 'green') };
}

const request = (config: Json, network = 'blue') => ({ network, config: { cniVersion: '1.1.0', ...config } });

async function gc(node: LabNode, config: Json, network?: string): Promise<void> {
  const { code, stdout } = await node.plugin('GC', request(config, network));
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '' });
}

/** The kernel and the store hold these pods and no others, and those of them that live leave by the exit. */
async function assertSteered({ node }: Scene, pods: readonly Pod[]): Promise<void> {
  const maps = await Promise.all(
    ['pods4', 'pods6'].map((map) => node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', map])),
  );
  const ids = pods.map(({ containerID }) => containerID).sort();
  for (const map of maps) assert.deepEqual([...map.matchAll(/cnitool-\w+/g)].map(String).sort(), ids);
  const files = await readdir(node.state('egress/attachments'));
  assert.deepEqual(files.map((file) => file.split('+')[1]).sort(), ids);
  for (const pod of pods) assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
}

const recordOf = async (node: LabNode, { containerID }: Pod): Promise<string> => {
  const files = await readdir(node.state('egress/attachments'));
  return node.state(`egress/attachments/${files.find((file) => file.includes(containerID))}`);
};
