import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Cluster, internet, internetPolicy, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { PluginOutcome } from '../support/plugin.ts';
import type { Daemon } from '../support/run.ts';
import { egressBinary, tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

const lock = '/var/lib/cni/egress/lock';

/**
 * Ends a call that waits without end, which then has no answer: after many times the seconds that the plugin is patient for,
 * however slow the machine is.
 */
const guarded = [tool('timeout'), '--signal=KILL', '600'];

// A container runtime that was stopped, or a cgroup that was frozen, in the middle of a call: seen with cni-egress 0.1.0,
// where every later ADD of a steered pod waited without end.
describe('the lock of a process that is stopped', labTest, () => {
  test('holds up ADD and DEL for a while, which then name it and say to try again', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [known, pod] = [await node.started(), await node.withoutEgress(() => node.started())];
    const holder = await stoppedHolder(node);
    const outcomes = await Promise.all([
      node.plugin('ADD', { pod, through: guarded }),
      node.plugin('DEL', { pod: known, through: guarded }),
      node.plugin('GC', { config: { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] }, through: guarded }),
    ]);
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      [1, 1, 1],
    );
    for (const outcome of outcomes) {
      const { code, msg, details } = errorOf(outcome);
      assert.deepEqual([code, msg], [11, 'Try again later']);
      assert.match(details, new RegExp(`by process ${holder.pid} \\(\\S*python3 -c .*, stopped\\)`, 's'));
    }
    await holder.stop('SIGKILL');
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
    for (const one of [known, pod]) assert.equal((await node.plugin('DEL', { pod: one })).code, 0);
    assert.deepEqual(await node.records(), ['lock']);
  });

  test('is waited for when the process goes on', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    const holder = await stoppedHolder(node);
    const added = node.plugin('ADD', { pod });
    await waiting(node);
    await holder.stop('SIGKILL');
    assert.equal((await added).code, 0);
  });
});

describe('a watched gateway that waits for the lock', labTest, () => {
  // Seen with cni-egress 0.1.0: the whole process stood still, and heard no signal until somebody gave the lock back.
  test('goes on with all else: told twice, it ends at once', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    await cluster.policy({
      exits: [{ ...internet, gateways: ['172.18.0.3'] }],
      policies: [{ ...internetPolicy, exit: internet.name }],
    });
    const [gateway] = cluster.gateways;
    assert.ok(gateway);
    const holder = await stoppedHolder(gateway);
    const script = '"$@" & echo "pid $!"; wait $!; echo "exit code $?"';
    const command = [egressBinary, 'gateway', '--policy', policyFile, '--watch'];
    const watch = await gateway.machine.start(['sh', '-c', script, 'sh', ...command], 'pid ');
    const pid = Number(watch.lines[0]?.replace('pid ', ''));
    await waiting(gateway);
    for (const _ of ['first', 'second']) {
      process.kill(pid, 'SIGTERM');
      while (catches(pid, 15)) await setTimeout(20);
    }
    assert.equal(await watch.line('exit code '), `exit code ${128 + 15}`);
    await holder.stop('SIGKILL');
  });
});

describe('a lock that cannot be had', labTest, () => {
  for (const error of ['ENOLCK', 'ENOSYS', 'EIO', 'EBADF', 'ENOTSUP']) {
    test(`because flock(2) says ${error} is an error, in ADD and in DEL`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const [known, pod] = [await node.started(), await node.withoutEgress(() => node.started())];
      // Who asks again and again is let in at last, so that a test ends, and is seen to have asked.
      const how = `inject=flock:error=${error === 'ENOTSUP' ? 'EOPNOTSUPP' : error}:when=1..50`;
      const through = [tool('strace'), '-f', '-qq', '-o', '/dev/null', '-e', how];
      for (const outcome of [
        await node.plugin('ADD', { pod, through }),
        await node.plugin('DEL', { pod: known, through }),
      ]) {
        assert.equal(outcome.code, 1, `it asked until it had the lock: ${outcome.stdout}`);
        const { code, details } = errorOf(outcome);
        assert.equal(code, 5);
        assert.ok(details.includes(`${lock} cannot be locked, flock(2) says ${error}`), details);
      }
    });
  }

  test('at first, because signals come, is had after all', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    const through = [tool('strace'), '-f', '-qq', '-o', '/dev/null', '-e', 'inject=flock:error=EINTR:when=1..4'];
    assert.equal((await node.plugin('ADD', { pod, through })).code, 0);
  });
});

/** Nothing of a process that ends meanwhile. */
function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

/** Whether a process has a handler for a signal: proc(5), SigCgt. */
function catches(pid: number, signal: number): boolean {
  const caught = /^SigCgt:\s+([0-9a-f]+)$/m.exec(statusOf(pid))?.[1];
  return caught !== undefined && (BigInt(`0x${caught}`) & (1n << BigInt(signal - 1))) !== 0n;
}

const errorOf = ({ json }: PluginOutcome) => json as { code: number; msg: string; details: string };

/** A process that has the lock, and is stopped. */
async function stoppedHolder(node: LabNode): Promise<Daemon> {
  await node.machine.must(['sh', '-c', `mkdir -p -m 700 "$(dirname ${lock})" && touch ${lock}`]);
  const script = `import fcntl, os, signal
file = open("${lock}", "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)`;
  return node.machine.start([tool('python3'), '-c', script], 'locked');
}

/** Comes when somebody waits for a lock behind whoever has it: `->` in /proc/locks. */
async function waiting(node: LabNode): Promise<void> {
  const { stdout } = await node.machine.run(['stat', '-c', '%i', lock]);
  const script = `until grep -q -- "-> FLOCK.*:${stdout.trim()} " /proc/locks; do sleep 0.02; done`;
  await node.machine.must(['sh', '-c', script]);
}
