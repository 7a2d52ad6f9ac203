import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
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
import { sweep } from '../support/killing.ts';
import { labTest } from '../support/lab.ts';
import { Daemon } from '../support/run.ts';

/** What an installer changes files with, when it wraps a file with a single plugin and when it changes a list. */
const syscalls = {
  wraps: ['mkdir', 'copy_file_range', 'chmod', 'fsync', 'rename', 'fchown', 'fchmod'],
  changes: ['renameat2', 'unlink'],
  uninstalls: ['rename', 'renameat2', 'unlink', 'fsync'],
} as const;

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
    for (const syscall of syscalls[kind]) {
      test(`at any ${syscall}, when it ${kind} a file, leaves what the next one puts right`, labTest, async () => {
        await using host = primed(hosts[kind]);
        const before = host.tree();
        const install = (through: readonly string[]) => host.install({ through });
        const kills = await sweep(install, syscall, async (place) => {
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

  for (const syscall of syscalls.uninstalls) {
    test(`at any ${syscall}, when it uninstalls, leaves what the next one puts right`, labTest, async () => {
      await using host = primed(hosts.wraps);
      const before = host.tree();
      const prepare = async () => {
        assert.equal((await host.install()).code, 0);
        assert.equal((await host.install({ more: ['--conf-name', list] })).code, 0);
      };
      await prepare();
      const uninstall = (through: readonly string[]) => host.uninstall({ through });
      const kills = await sweep(uninstall, syscall, async (place) => {
        const when = `after a kill at ${syscall} ${place}`;
        requireReadable(host, when);
        assert.equal((await host.uninstall()).code, 0, when);
        assert.deepEqual(withoutOurs(host.tree()), before, when);
        await prepare();
      });
      assert.notEqual(kills, 0, `uninstalling makes no ${syscall}`);
    });
  }
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
