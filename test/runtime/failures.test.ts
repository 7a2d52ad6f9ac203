import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Lab } from '../support/lab.ts';
import type { Containerd } from '../support/runtime/containerd.ts';
import { refusal } from '../support/runtime/pod.ts';
import { containerdOn, leftovers, runtimeTest, settle, writePolicy } from '../support/runtime/runtime.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { egressBinary, tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

const byExit = [...world.exitAddress];
const steered = { namespace: 'steered' };

/** Does something that fails, and looks that it left nothing and that the next pod is steered. */
async function leavesNothing(action: (containerd: Containerd) => Promise<void>): Promise<void> {
  await using lab = await Lab.create();
  await using containerd = await containerdOn(lab);
  await settle(containerd);
  const before = await snapshot(containerd.node);
  await action(containerd);
  assert.deepEqual(await leftovers(containerd), []);
  assertUnchanged(before, await snapshot(containerd.node));
  const pod = await containerd.pod(steered);
  assert.deepEqual(await pod.askEach('tcp', world.service), byExit);
}

describe('a pod that cannot start', runtimeTest, () => {
  test('leaves nothing when a plugin after egress fails', () =>
    leavesNothing(async (containerd) => {
      await containerd.machine.addPlugin('fails', fails);
      await containerd.write({ after: [{ type: 'fails' }] });
      assert.match(await refusal(containerd.sandbox(steered)), /plugin type="fails" failed \(add\): out of order/);
      await containerd.write({});
    }));

  test('leaves nothing when a plugin before egress fails', () =>
    leavesNothing(async (containerd) => {
      await containerd.machine.addPlugin('fails', fails);
      await containerd.write({ before: [{ type: 'fails' }] });
      assert.match(await refusal(containerd.sandbox(steered)), /out of order/);
      await containerd.write({});
    }));

  test('leaves nothing when the policy file cannot be read, and is told so', () =>
    leavesNothing(async (containerd) => {
      await writePolicy(containerd.node, '{ "exits": [');
      assert.match(await refusal(containerd.sandbox(steered)), /policy\.json/);
      await writePolicy(containerd.node);
    }));
});

/** ADD fails, all else works. */
const fails = `case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.0.0","code":100,"msg":"out of order"}'; exit 1 ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0","1.1.0"]}' ;;
esac`;

/** Long enough for the plugins before egress on a machine with much to do; containerd then kills who still runs. */
const deadlineMs = 3000;

/** Longer than any deadline here; without a child that would hold the plugin's output open. */
const hang = 'exec sleep 1000';

/** The instruction that makes a script egress once more, for all commands but ADD. */
const butAdd = (script: string) => `[ "$CNI_COMMAND" = ADD ] || exec ${egressBinary}\n${script}`;

/** What stops egress itself, as if its machine stood still, behind its first call of a system call. */
const stoppedAt = (syscall: string) =>
  `exec ${tool('strace')} -D -f -qq -o /dev/null -e trace=${syscall} -e inject=${syscall}:signal=STOP:when=1 ${egressBinary}`;

describe('a plugin that hangs', runtimeTest, () => {
  const situations = {
    'in front of egress': hang,
    'egress with its lock': stoppedAt('flock'),
    'egress writing its record': stoppedAt('fsync'),
    'egress with its record': stoppedAt('/^rename'),
  };
  for (const [name, script] of Object.entries(situations)) {
    test(`is killed at the deadline, and then everything works: ${name}`, () =>
      leavesNothing(async (containerd) => {
        const restore = await containerd.machine.replacePlugin('egress', butAdd(script));
        await assert.rejects(containerd.sandbox({ ...steered, deadlineMs }), /killed|deadline|in time/);
        await containerd.forgotten();
        await restore();
      }));
  }

  test('lets the DEL of others wait for its lock until it is killed', async () => {
    await using lab = await Lab.create();
    await using containerd = await containerdOn(lab);
    const pod = await containerd.pod(steered);
    const restore = await containerd.machine.replacePlugin('egress', butAdd(stoppedAt('/^rename')));
    const starting = assert.rejects(containerd.sandbox({ ...steered, deadlineMs }), /killed|deadline|in time/);
    await Promise.race([stoppedEgress(containerd), starting]);
    await pod.end();
    await starting;
    await containerd.forgotten();
    await restore();
    assert.deepEqual(await leftovers(containerd), []);
  });
});

/** Waits until egress stands still in the middle of a call, but not for longer than a call lasts. */
async function stoppedEgress({ machine }: Containerd): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (performance.now() < end) {
    const processes = await machine.inside.must(['ps', '-eo', 'stat=,args=']);
    if (/^t\S* .*egress$/im.test(processes)) return;
  }
  assert.fail('egress was not stopped');
}
