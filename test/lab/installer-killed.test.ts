import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';
import {
  type Installation,
  list,
  listOf,
  primed,
  ready,
  requireEgressIn,
  singleOf,
  until,
  withoutOurs,
} from '../support/installation.ts';
import { changesBelow, type SystemCall, sweep } from '../support/killing.ts';
import { labTest } from '../support/lab.ts';
import { Daemon, type Outcome } from '../support/run.ts';

/** What puts binary and policy in place, and a new text into the network configuration. */
const always = [
  'mkdir',
  'openat',
  'utimensat',
  'copy_file_range',
  'write',
  'chmod',
  'fchown',
  'fchmod',
  'fsync',
  'rename',
];

/** What an installer changes files with, when it wraps a file with a single plugin and when it changes a list. */
const syscalls = { wraps: always, changes: [...always, 'renameat2', 'unlink'] } as const;

/** What fsync(2) does no kill undoes: a kill before it leaves what one before the next call leaves. */
const isSwept = (syscall: string): boolean => syscall !== 'fsync';

/** A change of a list is swept where it is another than that of a single plugin. */
const swept = { wraps: always.filter(isSwept), changes: ['openat', 'write', 'renameat2', 'unlink'] } as const;

const ofUninstalling = [
  ...['openat', 'write', 'fchown', 'fchmod', 'fsync', 'rename', 'renameat2', 'unlink', 'unlinkat', 'rmdir'],
];

/** Files that are opened to be written. */
const written = ['bin/.egress/lock', 'bin/.egress/egress.new', 'bin/.egress/.new', 'etc/.new', 'net.d/~egress.new'];

/** Everything below the folder of a host that installers change; some of it is there only at times. */
const changed = [
  ...['', 'bin', 'bin/.egress', 'bin/.egress/policy.sha256', 'bin/egress', 'etc', 'etc/policy.json', 'net.d'],
  ...['net.d/05-single.conf', 'net.d/05-single.conflist', 'net.d/05-single.conf.before-egress', `net.d/${list}`],
  ...written,
];

/** A system call of the installer: not of the children by which it tries the binary. */
const onHost = (name: string, { folder }: Installation): SystemCall => ({
  name,
  paths: (name === 'openat' ? written : changed).map((path) => join(folder, path)),
});

const hosts = {
  wraps: { [list]: listOf('first'), '05-single.conf': singleOf('x') },
  changes: { [list]: listOf('first') },
} as const;

/** What is in the folders when all is done. */
const installed = {
  wraps: ['05-single.conf.before-egress', '05-single.conflist', list],
  changes: [list],
} as const;

/** Whatever runtimes may find in the folder can be read. */
function requireReadable(host: Installation, when: string): void {
  const networks = readdirSync(host.conf).filter((name) => /\.(conf|conflist|json)$/.test(name));
  assert.notEqual(networks.length, 0, when);
  for (const name of networks) JSON.parse(host.read(name));
}

describe('an installer that is killed', () => {
  for (const kind of ['wraps', 'changes'] as const) {
    for (const syscall of swept[kind]) {
      test(`at any ${syscall}, when it ${kind} a file, leaves what the next one puts right`, labTest, async () => {
        await using host = primed(hosts[kind]);
        const before = host.tree();
        const install = (through: readonly string[]) => host.install({ through });
        const kills = await sweep(install, onHost(syscall, host), async (place) => {
          const when = `after a kill at ${syscall} ${place}`;
          requireReadable(host, when);
          assert.equal((await host.install()).stderr, '', when);
          assert.deepEqual(readdirSync(host.conf).sort(), installed[kind], when);
          assert.deepEqual(readdirSync(join(host.bin, '.egress')).sort(), ['lock', 'policy.sha256'], when);
          assert.deepEqual(readdirSync(join(host.policy, '..')), ['policy.json'], when);
          requireEgressIn(host, installed[kind].find((name) => name.endsWith('.conflist')) ?? '');
          await host.uninstall({ more: ['--binary'] });
          assert.deepEqual(host.tree(), before, when);
        });
        assert.notEqual(kills, 0, `an installer makes no ${syscall}`);
      });
    }
  }

  for (const syscall of ofUninstalling.filter(isSwept)) {
    test(`at any ${syscall}, when it uninstalls, leaves what the next one puts right`, labTest, async () => {
      await using host = primed(hosts.wraps);
      const before = host.tree();
      const prepare = async () => {
        assert.equal((await host.install()).code, 0);
        assert.equal((await host.install({ more: ['--conf-name', list] })).code, 0);
      };
      await prepare();
      const uninstall = (through: readonly string[]) => host.uninstall({ through, more: ['--binary'] });
      const kills = await sweep(uninstall, onHost(syscall, host), async (place) => {
        const when = `after a kill at ${syscall} ${place}`;
        requireReadable(host, when);
        assert.equal((await uninstall([])).code, 0, when);
        assert.deepEqual(host.tree(), before, when);
        assert.deepEqual(readdirSync(host.bin), ['bridge'], when);
        await prepare();
      });
      assert.notEqual(kills, 0, `uninstalling makes no ${syscall}`);
    });
  }
});

describe('the system calls at which installers are killed', () => {
  /** All that a command does to the host is among these calls, on files that the sweeps know. */
  async function requireSwept(
    host: Installation,
    names: readonly string[],
    call: (through: readonly string[]) => Promise<Outcome>,
  ): Promise<void> {
    const found = await changesBelow(host.folder, call);
    assert.deepEqual([...new Set(found.map(({ name }) => name))].sort(), [...names].sort());
    for (const { name, paths } of found) {
      const known: readonly string[] = name === 'openat' ? written : changed;
      assert.ok(
        paths.some((path) => known.includes(relative(host.folder, path))),
        `${name} of ${paths}`,
      );
    }
  }

  test('are all by which they change something', labTest, async () => {
    for (const kind of ['wraps', 'changes'] as const) {
      await using host = primed(hosts[kind]);
      await requireSwept(host, syscalls[kind], (through) => host.install({ through }));
    }
  });

  test('are all by which uninstalling changes something', labTest, async () => {
    await using host = primed(hosts.wraps);
    assert.equal((await host.install()).code, 0);
    assert.equal((await host.install({ more: ['--conf-name', list] })).code, 0);
    await requireSwept(host, ofUninstalling, (through) => host.uninstall({ through, more: ['--binary'] }));
  });
});

test('what was half written when an installer was killed is written anew', labTest, async () => {
  await using host = primed();
  for (const folder of ['bin/.egress', 'etc']) mkdirSync(join(host.folder, folder));
  for (const path of written) writeFileSync(join(host.folder, path), '{"half');
  assert.equal((await host.install()).stderr, '');
  assert.equal(requireEgressIn(host, list), listOf('first'));
  assert.deepEqual(readdirSync(host.conf), [list]);
  assert.deepEqual(readdirSync(join(host.bin, '.egress')).sort(), ['lock', 'policy.sha256']);
  assert.deepEqual(readdirSync(join(host.policy, '..')), ['policy.json']);
});

describe('several installers at once', () => {
  test('end with one entry, and nothing is left of any', labTest, async () => {
    await using host = primed(hosts.wraps);
    const before = host.tree();
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => host.install()));
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      [0, 0, 0, 0],
    );
    assert.deepEqual(readdirSync(host.conf).sort(), installed.wraps);
    requireEgressIn(host, '05-single.conflist');
    await Promise.all([host.uninstall(), host.uninstall()]);
    assert.deepEqual(withoutOurs(host.tree()), before);
  });

  test('do not write against each other when both stay', labTest, async () => {
    await using host = primed();
    await using other = primed({});
    const daemon = await host.watch(ready);
    const second = await Daemon.start(host.command('--watch', '--ready-file', other.readyFile), ready);
    try {
      const lines = [daemon, second].map(({ lines }) => lines.length);
      host.write(list, listOf('newer'));
      await until(() => host.types(list)?.includes('egress') === true);
      assert.equal(requireEgressIn(host, list), listOf('newer'));
      const said = [daemon, second].flatMap((each, i) => each.lines.slice(lines[i]));
      assert.ok(said.filter((line) => line.includes('put egress back')).length <= 1, said.join('\n'));
    } finally {
      await second.stop();
    }
  });
});
