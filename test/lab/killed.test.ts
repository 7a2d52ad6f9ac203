import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sweep, sweepRequests } from '../support/killing.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { CniCommand } from '../support/plugin.ts';
import type { Pod } from '../support/pod.ts';
import { snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** What each verb changes the kernel and files with: requests to the kernel, and the steps of writing or removing a file. */
const syscalls = { ADD: ['sendto', 'fsync', 'rename'], DEL: ['sendto', 'unlink'] } as const;

/** Calls the plugin, killed at each such system call. */
function sweepPlugin(node: LabNode, pod: Pod, command: CniCommand, syscall: string, afterEach: AfterEach) {
  const call = (through: readonly string[]) => node.plugin(command, { pod, through });
  return syscall === 'sendto' ? sweepRequests(call, afterEach) : sweep(call, syscall, afterEach);
}

type AfterEach = (place: number) => Promise<void>;

describe('a plugin that is killed', () => {
  for (const syscall of syscalls.ADD) {
    test(`in ADD at any ${syscall} leaves what DEL takes down`, labTest, async () => {
      await using lab = await Lab.create();
      const { node, pod, link, before } = await primed(lab);
      const kills = await sweepPlugin(node, pod, 'ADD', syscall, async (place) => {
        const when = `after ADD was killed at ${syscall} ${place}`;
        assert.equal((await node.plugin('DEL', { pod })).stdout, '', `DEL ${when}`);
        await takenDown(node, link, before, when);
      });
      assert.notEqual(kills, 0, `ADD makes no ${syscall}`);
    });
  }

  for (const syscall of syscalls.DEL) {
    test(`in DEL at any ${syscall} leaves what the next DEL takes down`, labTest, async () => {
      await using lab = await Lab.create();
      const { node, pod, link, before } = await primed(lab);
      assert.equal((await node.plugin('ADD', { pod })).code, 0);
      const kills = await sweepPlugin(node, pod, 'DEL', syscall, async (place) => {
        const when = `after DEL was killed at ${syscall} ${place}`;
        assert.equal((await node.plugin('DEL', { pod })).stdout, '', `DEL ${when}`);
        await takenDown(node, link, before, when);
        assert.equal((await node.plugin('ADD', { pod })).code, 0, `ADD ${when}`);
      });
      assert.notEqual(kills, 0, `DEL makes no ${syscall}`);
    });
  }

  test('in ADD is put right by ADD', labTest, async () => {
    await using lab = await Lab.create();
    const { node, pod, link } = await primed(lab);
    const [destination] = world.service;
    await sweepPlugin(node, pod, 'ADD', 'sendto', async (place) => {
      assert.equal((await node.plugin('ADD', { pod })).code, 0, `ADD after ADD was killed at ${place}`);
      assert.equal((await node.plugin('CHECK', { pod })).stdout, '');
      assert.equal(await pod.ask('tcp', destination), world.exitAddress[0]);
      assert.equal((await node.plugin('DEL', { pod })).code, 0);
      await node.machine.ip(`link set ${link} up`);
    });
  });
});

/** The host end of the pod's interface. */
async function linkOf(node: LabNode, pod: Pod): Promise<string> {
  const own = await pod.network.run(['ip', '-o', 'link', 'show', 'eth0']);
  const index = /eth0@if(\d+)/.exec(own.stdout)?.[1];
  const links = await node.machine.run(['ip', '-o', 'link']);
  const link = new RegExp(`^${index}: ([^@]+)@`, 'm').exec(links.stdout)?.[1];
  if (link === undefined) throw new Error(`No host end of the interface of ${pod.name}`);
  return link;
}

/**
 * The node without the pod's own interface, which DEL sets down and which is set up again here: the kernel then makes
 * its addresses and routes anew.
 */
async function withoutLink(node: LabNode, link: string): Promise<string> {
  const [text = ''] = (await snapshot(node)).split('# ip -details address');
  return text
    .split('\n')
    .filter((line) => !line.includes(link))
    .join('\n');
}

async function takenDown(node: LabNode, link: string, before: string, when: string): Promise<void> {
  await node.machine.ip(`link set ${link} up`);
  assert.equal(await withoutLink(node, link), before, when);
  // A file that was not finished stays until the next one is written in its place.
  assert.deepEqual(
    (await node.records()).filter((name) => name !== '.new' && name !== 'lock'),
    [],
    when,
  );
}

/** A pod that the primary plugin has added, and its link. */
async function primed(lab: Lab) {
  const node = await lab.node();
  await node.write({ egress: undefined });
  const pod = await node.started();
  await node.write({});
  const link = await linkOf(node, pod);
  return { node, pod, link, before: await withoutLink(node, link) };
}
