import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type Installation,
  list,
  listOf,
  primed,
  requireEgressIn,
  until,
  withoutOurs,
} from '../support/installation.ts';
import { labTest } from '../support/lab.ts';
import { must } from '../support/run.ts';
import { egressBinary } from '../support/tools.ts';

/** A command that runs in mounts of its own, after others that make them. */
const inMounts = (...commands: readonly string[]): readonly string[] => [
  ...['unshare', '--mount', 'sh', '-ec', `${commands.join('\n')}\nexec "$@"`, 'sh'],
];

/** A copy of the loader and the libraries that the binary needs, but for one of them. */
async function rootWithout(host: Installation, library: string): Promise<string> {
  const root = join(host.folder, 'root');
  const needed = (await must(['ldd', egressBinary])).match(/\/\S+/g) ?? [];
  for (const path of needed.filter((path) => !path.includes(library))) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    copyFileSync(path, join(root, path));
  }
  return root;
}

/** The first bytes of a program for ARM (elf(5)). */
const armProgram = Buffer.concat([
  Buffer.from('\x7fELF\x02\x01\x01', 'latin1'),
  Buffer.alloc(9),
  Buffer.from([2, 0, 183, 0]),
  Buffer.alloc(44),
]);

describe('a host that cannot run the binary keeps its network as it was, and is told why:', () => {
  /** Installs on a host whose root is this folder. */
  const installIn = async (host: Installation, root: string) => {
    for (const folder of [host.bin, host.conf]) mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, host.conf, list), listOf('first'));
    const outcome = await host.install({ more: ['--host-root', root] });
    assert.equal(readFileSync(join(root, host.conf, list), 'utf8'), listOf('first'));
    assert.deepEqual(readdirSync(join(root, host.bin)), ['.egress']);
    assert.deepEqual(
      readdirSync(join(root, host.bin, '.egress')).filter((name) => name.includes('new')),
      [],
    );
    return outcome;
  };

  test('it has no glibc', labTest, async () => {
    await using host = primed();
    const { code, stderr } = await installIn(host, join(host.folder, 'root'));
    assert.equal(code, 1);
    assert.match(stderr, /binary: the host cannot run .*: the host has no loader for it/);
    assert.match(stderr, /network: the network waits for the binary/);
  });

  test('it has no libstdc++', labTest, async () => {
    await using host = primed();
    const { code, stderr } = await installIn(host, await rootWithout(host, 'libstdc++'));
    assert.equal(code, 1);
    assert.match(stderr, /the host has no libstdc\+\+\.so\.6/);
  });

  test('it is another machine', labTest, async () => {
    await using host = primed();
    writeFileSync(join(host.folder, 'arm'), armProgram);
    const before = host.tree();
    const { code, stderr } = await host.install({ more: ['--binary', join(host.folder, 'arm')] });
    assert.equal(code, 1);
    assert.match(stderr, /it is built for (aarch64|x86_64), the machine is/);
    assert.deepEqual(withoutOurs(host.tree()), before);
  });

  test('its folder of plugins is mounted noexec', labTest, async () => {
    await using host = primed();
    const before = host.tree();
    const through = inMounts(`mount --bind ${host.bin} ${host.bin}`, `mount -o remount,bind,noexec ${host.bin}`);
    const { code, stderr } = await host.install({ through });
    assert.equal(code, 1);
    assert.match(stderr, /does not let it run: its file system is mounted noexec/);
    assert.deepEqual(withoutOurs(host.tree()), before);
  });

  test('its folder of plugins cannot be written to', labTest, async () => {
    await using host = primed();
    const before = host.tree();
    const through = inMounts(`mount --bind ${host.bin} ${host.bin}`, `mount -o remount,bind,ro ${host.bin}`);
    const { code, stderr } = await host.install({ through });
    assert.equal(code, 1);
    assert.match(stderr, /EROFS/);
    assert.deepEqual(host.tree(), before);
  });

  test('its root may not be entered', labTest, async () => {
    await using host = primed();
    const { code, stderr } = await host.install({
      through: ['setpriv', '--bounding-set=-sys_chroot'],
      more: ['--host-root', '/proc/self/root/'],
    });
    assert.equal(code, 1);
    assert.match(stderr, /grant CAP_SYS_CHROOT/);
    assert.equal(host.read(list), listOf('first'));
  });

  test('a binary that works is not replaced by one that does not', labTest, async () => {
    await using host = primed();
    await host.install();
    const before = host.tree();
    writeFileSync(join(host.folder, 'arm'), armProgram);
    assert.equal((await host.install({ more: ['--binary', join(host.folder, 'arm')] })).code, 1);
    assert.deepEqual(host.tree(), before);
  });

  test('and the file that says why stands where the ready file would', labTest, async () => {
    await using host = primed();
    writeFileSync(join(host.folder, 'arm'), armProgram);
    await host.watch('it is built for', '--binary', join(host.folder, 'arm'));
    await until(() => existsSync(join(host.readyFile, '../not-ready.json')));
    assert.equal(existsSync(host.readyFile), false);
    const { code, stdout } = await host.ready();
    assert.equal(code, 1);
    assert.match(stdout, /"binary": "the host cannot run .*it is built for/);
  });
});

test(
  'in a container, the right to change the root is enough, and only the folders that are written to are writable',
  labTest,
  async () => {
    await using host = primed();
    const [root, files] = [join(host.folder, 'root'), join(host.folder, 'files')];
    for (const folder of [root, join(files, host.folder)]) mkdirSync(folder, { recursive: true });
    const through = inMounts(
      `mount --rbind / ${root}`,
      `mount -o remount,bind,ro ${root}`,
      `mount --bind ${host.folder} ${files}${host.folder}`,
    );
    const rights = ['setpriv', '--bounding-set=-all,+sys_chroot'];
    const more = ['--host-root', root, '--host-files', files];
    const outcome = await host.install({ through: [...through, ...rights], more });
    assert.equal(outcome.stderr, '');
    assert.equal(requireEgressIn(host, list), listOf('first'));
  },
);

test('a policy that was never valid keeps egress out of the network: no pod could start', labTest, async () => {
  await using host = primed();
  writeFileSync(join(host.source, 'policy.json'), '{"policies": 7}');
  const { code, stderr } = await host.install();
  assert.equal(code, 1);
  assert.match(stderr, /policy: refused: .*#\/policies: expected a list of policies, got 7/);
  assert.equal(host.read(list), listOf('first'));
});
