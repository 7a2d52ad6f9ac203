import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { sweep, sweepRequests } from '../support/killing.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';

/** A kill before fsync(2) leaves what one before the rename(2) that follows it leaves. */
const syscalls = ['sendto', 'rename'] as const;

/** Of requests that change something there are many, one for each object: one in so many is swept. */
const step = 6;

function sweepEach(syscall: (typeof syscalls)[number], ...[call, afterEach]: Parameters<typeof sweepRequests>) {
  return syscall === 'sendto' ? sweepRequests(call, afterEach, step) : sweep(call, syscall, afterEach);
}

describe('what is killed in the middle', labTest, () => {
  for (const syscall of syscalls) {
    test(`of ADD at a ${syscall} is put right by ADD, and DEL takes down all`, async () => {
      await using lab = await Lab.create();
      const { worker: node, cluster } = await settled(lab);
      await cluster.up();
      const pod = await node.withoutEgress(() => node.started());
      const before = await settledLink(node, pod);
      const kills = await sweepEach(
        syscall,
        (through) => node.plugin('ADD', { pod, through }),
        async (place, kills) => {
          const when = `killed at ${syscall} ${place}`;
          if (kills % 2 === 0) await assertPutRight(node, pod, when);
          assert.equal((await node.plugin('DEL', { pod })).stdout, '', when);
          assertUnchanged(before, await settledLink(node, pod), when);
          assert.deepEqual(await recordsOf(node), [], when);
        },
      );
      assert.notEqual(kills, 0);
    });

    test(`of egress gateway at a ${syscall} is put right by the next, and --down takes down all`, async () => {
      await using lab = await Lab.create();
      const { gateway, before } = await settled(lab);
      const up = (...through: readonly string[]) => command(gateway, through);
      const down = (...through: readonly string[]) => command(gateway, through, '--down');
      assert.equal((await up()).code, 0);
      const whole = await snapshot(gateway);
      assert.equal((await down()).code, 0);
      const kills = await sweepEach(
        syscall,
        (through) => up(...through),
        async (place, kills) => {
          const when = `killed at ${syscall} ${place}`;
          if (kills % 2 === 0) {
            assert.equal((await up()).code, 0, when);
            assertUnchanged(whole, await snapshot(gateway), when);
          }
          const { code, stderr } = await down();
          assert.equal(code, 0, `${when} ${stderr}`);
          assertUnchanged(before, await snapshot(gateway), when);
          assert.deepEqual(await recordsOf(gateway), [], when);
        },
      );
      assert.notEqual(kills, 0);
    });
  }

  test('of egress gateway --down at a sendto is finished by the next', async () => {
    await using lab = await Lab.create();
    const { gateway, before } = await settled(lab);
    assert.equal((await command(gateway, [])).code, 0);
    const kills = await sweepRequests(
      (through) => command(gateway, through, '--down'),
      async (place) => {
        assert.equal((await command(gateway, [], '--down')).code, 0, `${place}`);
        assertUnchanged(before, await snapshot(gateway), `${place}`);
        assert.deepEqual(await recordsOf(gateway), [], `${place}`);
        assert.equal((await command(gateway, [])).code, 0, `${place}`);
      },
      step,
    );
    assert.notEqual(kills, 0);
  });
});

async function settled(lab: Lab) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
  const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
  assert.ok(gateway && worker);
  return { cluster, gateway, worker, before: await snapshot(gateway) };
}

const command = (node: LabNode, through: readonly string[], ...args: readonly string[]) =>
  node.machine.run([...through, egressBinary, 'gateway', '--policy', policyFile, ...args]);

async function assertPutRight(node: LabNode, pod: Pod, when: string): Promise<void> {
  assert.equal((await node.plugin('ADD', { pod })).code, 0, when);
  assert.equal((await node.plugin('CHECK', { pod })).stdout, '', when);
  await setUp(node, pod);
  assert.deepEqual(await pod.askEach('udp'), internet.addresses, when);
}

/** DEL sets the host end of the pod's interface down. */
async function setUp(node: LabNode, { network }: Pod): Promise<void> {
  const own = await network.must(['ip', '-o', 'link', 'show', 'eth0']);
  const index = /eth0@if(\d+)/.exec(own)?.[1];
  const links = await node.machine.must(['ip', '-o', 'link']);
  const name = new RegExp(`^${index}: ([^@]+)@`, 'm').exec(links)?.[1] ?? '';
  await node.machine.ip(`link set ${name} up`);
  // On a busy machine the bridge is told of it a moment later.
  while (!(await node.machine.must(['bridge', 'link', 'show', 'dev', name])).includes(' state forwarding '))
    await sleep(20);
}

/** The node with the pod's interface set up, but for the addresses and routes that the kernel makes anew then. */
async function settledLink(node: LabNode, pod: Pod): Promise<string> {
  await setUp(node, pod);
  return (await snapshot(node))
    .split('\n')
    .filter((line) => !/veth|fe80::/.test(line))
    .join('\n');
}

/** The files that the plugin keeps. One that was not finished stays until the next one is written in its place. */
const recordsOf = async (node: LabNode): Promise<readonly string[]> =>
  (await node.records()).filter((name) => name !== '.new' && name !== 'lock');
