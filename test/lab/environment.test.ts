import assert from 'node:assert/strict';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { cniVersions } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { Call } from '../support/plugin.ts';
import { must } from '../support/run.ts';
import { egressBinary, tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** Runs a script with everything read-only that the node does not have for itself, then the plugin. */
const readOnly = (...mounts: readonly string[]) => [
  ...[tool('unshare'), '--mount', '--propagation', 'private', tool('sh'), '-ec'],
  [
    'mount --bind "$(dirname "$0")" /mnt', // the project may lie in one of the folders that are mounted over
    ...mounts,
    'if touch /tmp/probe 2>/dev/null; then exit 99; fi',
    'exec "/mnt/$(basename "$0")"',
  ].join('; '),
];

const remount = 'mount -o remount,bind,ro /; mount -o remount,bind,ro /tmp 2>/dev/null || true'; // where it is a mount
const noexec = ['/tmp', '/dev/shm', '/run'].map((path) => `mount -t tmpfs -o noexec,ro none ${path}`);

/** Surroundings of a runtime, some strange, in which the plugin has to work all the same. */
const surroundings: Readonly<Record<string, Call>> = {
  'without any variable but those of CNI': {},
  'without CNI_PATH': { env: { CNI_PATH: undefined } },
  'with a PATH that has no nft, ip or iptables': { env: { PATH: '/nowhere' } },
  'with a HOME that does not exist': { env: { HOME: '/nowhere' } },
  'with a TMPDIR that does not exist': { env: { TMPDIR: '/nowhere' } },
  'with NODE_OPTIONS that would break Node': { env: { NODE_OPTIONS: '--require /nowhere.js --max-old-space-size=1' } },
  'with variables that change what Node or pkg do': {
    env: {
      NODE_PATH: '/nowhere',
      NODE_DEBUG: 'net,fs',
      PKG_EXECPATH: 'x',
      DEBUG_PKG: '1',
      NODE_EXTRA_CA_CERTS: '/nowhere',
    },
  },
  'with a root file system that is read-only': { through: readOnly(remount) },
  'with a read-only root and temporary folders that are noexec': { through: readOnly(...noexec, remount) },
  'in a folder that does not exist any more': {
    through: [tool('sh'), '-ec', 'mkdir /tmp/gone.$$; cd /tmp/gone.$$; rmdir /tmp/gone.$$; exec "$0"'],
  },
  'with stderr closed': { through: [tool('sh'), '-c', 'exec "$0" 2>&-'] },
};

describe('the plugin works', labTest, () => {
  for (const [what, call] of Object.entries(surroundings)) {
    test(what, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.withoutEgress(() => node.started());
      const { code, stdout, stderr } = await node.plugin('ADD', { pod, ...call });
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: JSON.stringify(pod.result), stderr: '' });
      assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
      for (const command of ['CHECK', 'DEL'] as const) {
        const outcome = await node.plugin(command, { pod, ...call });
        assert.deepEqual(outcome, { code: 0, stdout: '', stderr: '', json: undefined }, command);
      }
    });
  }

  test('by another name and in another folder', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const copy = `${node.folder}/other-name`;
    await copyFile(egressBinary, copy);
    const { json } = await node.plugin('VERSION', { through: [tool('sh'), '-c', `exec ${copy}`] });
    assert.deepEqual((json as { supportedVersions: unknown }).supportedVersions, cniVersions);
  });

  test('with a result that is longer than a pipe', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    const routes = Array.from({ length: 5000 }, (_, i) => ({ dst: `203.0.${i % 256}.0/24`, gw: '10.0.0.1' }));
    const prevResult = { ...pod.result, routes };
    const { code, stdout } = await node.plugin('ADD', { pod, config: { prevResult } });
    assert.equal(code, 0, stdout.slice(0, 1000));
    assert.ok(stdout.length > 65536 * 2);
    assert.equal(stdout, JSON.stringify(prevResult));
  });

  test('as a person’s command without any variable', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const { stdout } = await node.machine.run([egressBinary, 'version'], { env: {} });
    assert.match(stdout, /0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0, 1\.1\.0/);
  });
});

describe('the plugin starts no other program', labTest, () => {
  test('in ADD, CHECK and DEL', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    for (const command of ['ADD', 'CHECK', 'DEL'] as const) {
      const log = `${node.folder}/${command}.strace`;
      const through = [tool('strace'), '-f', '-qq', '-e', 'trace=execve', '-o', log];
      assert.equal((await node.plugin(command, { pod, through })).code, 0);
      const calls = (await must(['cat', log])).split('\n').filter((line) => line.includes('execve('));
      assert.equal(calls.length, 1, calls.join('\n'));
    }
  });
});

describe('what the plugin keeps', labTest, () => {
  test('is readable for root alone', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    const list = await must(['find', node.state('egress'), '-printf', '%y %m\\n']);
    assert.deepEqual([...new Set(list.trim().split('\n'))].sort(), ['d 700', 'f 600']);
  });

  test('is in the folder that the chain entry names', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await mkdir(node.state('elsewhere'));
    await writeFile(node.state('elsewhere/foreign'), '');
    const pod = await node.withoutEgress(() => node.started());
    const call = { pod, config: { dataDir: '/var/lib/cni/elsewhere' } };
    assert.equal((await node.plugin('ADD', call)).code, 0);
    assert.deepEqual(await node.records(), []);
    const { stdout } = await node.egress('status', '--data-dir', '/var/lib/cni/elsewhere');
    assert.match(stdout, new RegExp(`default/${pod.name}`));
    assert.equal((await node.plugin('DEL', call)).code, 0);
    assert.equal(await must(['ls', node.state('elsewhere')]), 'foreign\nlock\n');
  });

  test('is missed where it cannot be, as in a container without the node’s folders: that is no good report', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const elsewhere = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /var/lib && exec "$@"', 'sh'];
    for (const words of [
      ['check'],
      ['status'],
      ['who', '192.0.2.1'],
      ['adopt'],
      ['explain', 'default/a', '192.0.2.1'],
    ]) {
      const { code, stdout, stderr } = await node.machine.run([...elsewhere, egressBinary, ...words]);
      assert.deepEqual([code, stdout], [2, ''], words.join(' '));
      assert.match(
        stderr,
        /\/var\/lib\/cni\/(egress|results) is not there, so nothing is known .*kubectl exec -c agent/,
      );
    }
    const named = await node.egress('check', '--data-dir', '/var/lib/cni/none');
    assert.equal(named.code, 2, named.stdout);
    assert.equal((await node.egress('check')).code, 0, 'a node without steered pods');
  });
});
