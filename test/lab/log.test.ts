import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** In the node's own /var/lib/cni. */
const folder = '/var/lib/cni/log';
const log = `${folder}/egress.log`;
const tmpfs = `mkdir ${folder} && mount -t tmpfs -o size=64k none ${folder}`;
/** Fails when there is no more room, as it should. */
const fill = `: > ${log} && ! dd if=/dev/zero of=${folder}/fill bs=4k 2>/dev/null`;

/** What may be wrong with the place of a log: what makes it so on the node, and where the log should be. */
const faults: Readonly<Record<string, { readonly made?: string; readonly logFile?: string; readonly says: RegExp }>> = {
  'on a file system that is full': { made: `${tmpfs} && ${fill}`, says: /ENOSPC/ },
  'on a file system that is read-only': { made: `${tmpfs} && mount -o remount,ro ${folder}`, says: /EROFS/ },
  'on a device that is always full': { logFile: '/dev/full', says: /ENOSPC/ },
  'in a folder that is a file': { made: `touch ${folder}`, says: /ENOTDIR/ },
  'in a folder that cannot be made': { logFile: '/proc/egress/log/egress.log', says: /ENOENT/ },
  'in a folder that leads to itself': { made: `ln -s ${folder} ${folder}`, says: /EEXIST/ },
  'at a name that is a folder': { made: `mkdir -p ${log}`, says: /EISDIR/ },
  'at a name that is too long': { logFile: `/var/lib/cni/${'x'.repeat(300)}`, says: /ENAMETOOLONG/ },
  'at a FIFO that nobody has open': { made: `mkdir ${folder} && mkfifo ${log}`, says: /ENXIO/ },
};

// A log on a full disk failed every DEL of a chained plugin for ever, so that the address was never given back: seen with
// cni-egress 0.1.0 in a chain behind bridge and host-local 1.1.1, by cnitool 1.3.0.
describe('a log decides nothing', labTest, () => {
  for (const [where, { made = ':', logFile = log, says }] of Object.entries(faults)) {
    test(`${where}: ADD, CHECK and DEL succeed, and say so once on stderr`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.machine.must(['sh', '-ec', made]);
      await assertUndisturbed(node, logFile, says);
    });
  }

  test('at a FIFO that is full and not read: ADD, CHECK and DEL succeed, and say so once on stderr', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.machine.must(['sh', '-ec', `mkdir ${folder} && mkfifo ${log}`]);
    const hold = `exec 3<>${log}; yes | dd of=${log} oflag=nonblock bs=4k 2>/dev/null; echo full; exec sleep infinity`;
    const holder = await node.machine.start(['sh', '-c', hold], 'full');
    await assertUndisturbed(node, log, /EAGAIN/);
    await holder.stop();
  });

  test('and an ADD that fails says its own reason', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const before = await snapshot(node);
    const { code, stderr, json } = await node.plugin('ADD', {
      pod: await node.pod(),
      config: { logFile: '/dev/full', prevResult: undefined },
    });
    assert.deepEqual([code, (json as { code: number }).code], [1, 100]);
    assert.equal(stderr, '');
    assertUnchanged(before, await snapshot(node));
  });

  test('which is made with its folder where it can be, and every call adds a line', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    const config = { logFile: `${folder}/deep/egress.log` };
    for (const command of ['ADD', 'CHECK', 'DEL'] as const)
      assert.deepEqual((await node.plugin(command, { pod, config })).stderr, '');
    const lines = (await readFile(node.state('log/deep/egress.log'), 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => [JSON.parse(line).command, JSON.parse(line).msg]),
      [
        ['ADD', 'done'],
        ['CHECK', 'done'],
        ['DEL', 'done'],
      ],
    );
  });
});

/** A pod's life goes as if there were no log; each call tells the reason once. */
async function assertUndisturbed(node: LabNode, logFile: string, reason: RegExp): Promise<void> {
  const pod = await node.withoutEgress(() => node.started());
  for (const command of ['ADD', 'CHECK', 'DEL'] as const) {
    const { code, stderr, stdout } = await node.plugin(command, { pod, config: { logFile, logLevel: 'debug' } });
    assert.equal(code, 0, `${command}: ${stdout}`);
    assert.match(stderr, /^egress: logFile \S+ cannot be written, this call goes on without: .*\n$/);
    assert.match(stderr, reason);
    if (command === 'ADD') assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
  }
  assert.deepEqual(await node.records(), ['lock']);
}
