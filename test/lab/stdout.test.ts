import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import { must, run } from '../support/run.ts';
import { egressBinary, tool } from '../support/tools.ts';

const status = { config: { cniVersion: '1.1.0' } };
const python = (script: string) => [tool('python3'), '-c', `import fcntl, os, subprocess, sys, time\n${script}`];

/** Places for an answer that nobody can have. */
const closed: Readonly<Record<string, readonly string[]>> = {
  'a device that is full': [tool('sh'), '-c', 'exec "$0" "$@" > /dev/full'],
  'a pipe that nobody reads': python(
    'r, w = os.pipe(); os.close(r); os.dup2(w, 1); os.execv(sys.argv[1], sys.argv[1:])',
  ),
};

/** Fills a pipe that does not wait, starts the plugin on it, empties it after a second, and prints what came. */
const slowReader = python(`
r, w = os.pipe()
fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)
filler = 0
try:
    while True: filler += os.write(w, b"x" * 4096)
except BlockingIOError: pass
plugin = subprocess.Popen(sys.argv[1:], stdout=w)
os.close(w)
time.sleep(1)
with os.fdopen(r, "rb") as pipe: sys.stdout.buffer.write(pipe.read()[filler:])
sys.exit(plugin.wait())`);

describe('an answer', labTest, () => {
  for (const [what, through] of Object.entries(closed)) {
    test(`for ${what} is an exit code and a line on stderr; DEL has none to give`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.withoutEgress(() => node.started());
      for (const command of ['ADD', 'VERSION'] as const) {
        const { code, stdout, stderr } = await node.plugin(command, { pod, through });
        assert.deepEqual([code, stdout], [1, '']);
        assert.match(stderr, /^egress: The answer cannot be written to stdout: (ENOSPC|EPIPE): .*, write\n$/);
      }
      assert.equal((await node.plugin('DEL', { pod, through })).code, 0);
      assert.deepEqual(await node.records(), ['lock']);
    });
  }

  test('waits for room in a pipe that does not wait itself, without asking again and again', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    const log = `${node.folder}/writes`;
    const traced = [tool('strace'), '-qq', '-o', log, '-e', 'trace=write'];
    const { code, json } = await node.plugin('ADD', { pod, through: [...slowReader, ...traced] });
    assert.deepEqual([code, json], [0, pod.result]);
    const refused = (await must(['cat', log])).split('\n').filter((line) => line.includes('EAGAIN')).length;
    assert.ok(refused > 0 && refused < 2000, `${refused} writes into a full pipe`);
  });

  for (const error of ['EIO', 'EINTR', 'EBADF']) {
    test(`is whole, and the call ends, where flushing stdout says ${error}`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      // The fault is that it never ends: this is many times what a slow machine needs.
      const through = [
        tool('timeout'),
        '-k',
        '1',
        '300',
        tool('strace'),
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        `inject=fsync:error=${error}`,
      ];
      const outcome = await node.plugin('STATUS', { ...status, through });
      assert.deepEqual([outcome.code, outcome.stdout, outcome.stderr], [0, '', '']);
    });
  }
});

describe('what a command prints', labTest, () => {
  const exits = [{ name: 'partners', interface: 'eth1', addresses: ['192.168.0.245'] }];
  const destinations = Array.from({ length: 2000 }, (_, i) => `198.18.${i >> 8}.${i & 255}/32`);
  const policies = Array.from({ length: 8 }, (_, i) => ({
    name: `policy-${i}`,
    namespaces: [`tenant-${i}`],
    destinations,
    exit: 'partners',
  }));

  test('comes whole through a pipe that takes a part at a time', async () => {
    await using lab = await Lab.create();
    const file = `${lab.folder}/policies.json`;
    writeFileSync(file, JSON.stringify({ clusterCIDRs: ['10.0.0.0/16'], exits, policies }));
    const command = [egressBinary, 'validate', '--print', file];
    const whole = await must(command);
    assert.ok(whole.length > 4 * 65_536, `${whole.length} bytes`);
    const { code, stdout } = await run([...slowReader, ...command]);
    assert.deepEqual([code, stdout.length, stdout === whole], [0, whole.length, true]);
  });

  test('and nobody can read is an error, and an exit code', async () => {
    for (const [what, through] of Object.entries(closed)) {
      const { code, stderr } = await run([...through, egressBinary, 'import', '--help']);
      assert.equal(code, 1, what);
      // Who closes a pipe, as `head` does, wants no more.
      assert.match(stderr, /^(egress: .*: Nobody can be told on stdout: ENOSPC.*\n.*\n)?$/);
    }
  });
});
