import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Namespace } from './namespace.ts';
import type { LabNode } from './node.ts';
import type { Call } from './plugin.ts';
import type { Pod } from './pod.ts';
import { assertUnchanged, snapshot } from './snapshot.ts';

/** How DEL is called, and what has happened before it. */
export interface Situation {
  readonly when: string;
  readonly happened?: (node: LabNode, pod: Pod) => Promise<unknown>;
  readonly call?: Call;
  /** Files that the plugin must have put aside, by how their names begin. */
  readonly aside?: readonly string[];
}

/** After any of these the last DEL leaves nothing. */
export const situations: readonly Situation[] = [
  { when: 'called with all that a runtime knows' },
  { when: 'called twice', happened: (node, pod) => del(node, pod) },
  { when: 'CNI_NETNS is empty', call: { env: { CNI_NETNS: '' } } },
  { when: 'CNI_NETNS is not set', call: { env: { CNI_NETNS: undefined } } },
  { when: 'the path in CNI_NETNS is gone', call: { env: { CNI_NETNS: '/run/netns/is-gone' } } },
  { when: 'there is no prevResult', call: { config: { prevResult: undefined } } },
  { when: 'CNI_ARGS and CNI_PATH are not set', call: { env: { CNI_ARGS: undefined, CNI_PATH: undefined } } },
  { when: 'the policies are broken by now', call: { config: { policies: 'none', exits: [{}] } } },
  { when: 'the policy file is gone by now', call: { config: { policyFile: '/etc/cni/is-gone.json' } } },
  { when: 'the exit’s routes are gone', happened: ({ machine }) => flushRoutes(machine) },
  { when: 'the node was started again, so that the kernel is empty', happened: reboot },
  { when: 'the table is gone', happened: (node) => node.machine.must(['nft', 'delete table inet cni-egress']) },
  { when: 'the record is deleted', happened: async (node) => rm(await recordFile(node)) },
  {
    when: 'the record is truncated',
    happened: async (node) => truncate(await recordFile(node), 40),
    aside: ['cluster+'],
  },
  {
    when: 'the record is empty',
    happened: async (node) => truncate(await recordFile(node)),
    aside: ['cluster+'],
  },
  ...odd('the record', recordFile),
  {
    when: 'a writer was stopped in the middle, and what stands there is a folder',
    happened: (node) => mkdir(node.state('egress/attachments/.new/deep'), { recursive: true }),
  },
  {
    when: 'the record is not JSON',
    happened: async (node) => writeFile(await recordFile(node), 'no JSON'),
    aside: ['cluster+'],
  },
];

/** Something else that stands in the place of a file: it is put aside, where only files are counted. */
function odd(what: string, place: (node: LabNode) => Promise<string>): Situation[] {
  const instead = (kind: string, make: (path: string) => Promise<unknown>): Situation => ({
    when: `${what} is ${kind}`,
    happened: async (node) => {
      const path = await place(node);
      await rm(path);
      await make(path);
    },
  });
  return [
    instead('a folder', (path) => mkdir(join(path, 'deep'), { recursive: true })),
    instead('a link to itself', (path) => symlink(path, path)),
    instead('a pipe', (path) => promisify(execFile)('mkfifo', [path])),
    instead('without end', (path) => symlink('/dev/zero', path)),
  ];
}

/** DEL of egress alone, which has to succeed without a word. */
export async function del(node: LabNode, pod: Pod, call?: Call): Promise<void> {
  const { code, stdout } = await node.plugin('DEL', { pod, ...call });
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '' });
}

/** What is left of our objects after the machine was started again. */
async function reboot({ machine }: LabNode): Promise<void> {
  await machine.must(['nft', 'delete table inet cni-egress']);
  await machine.run(['ip', 'link', 'delete', 'egress0']); // not every node has it
  await machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 1 });
  await flushRoutes(machine);
  for (const family of ['-4', '-6']) await machine.must(['ip', family, 'rule', 'flush', 'protocol', '230']);
}

async function flushRoutes(machine: Namespace): Promise<void> {
  for (const family of ['-4', '-6']) {
    await machine.must(['ip', family, 'route', 'flush', 'table', 'all', 'proto', '230']);
  }
}

async function recordFile(node: LabNode): Promise<string> {
  const [file] = await readdir(node.state('egress/attachments'));
  return node.state(`egress/attachments/${file}`);
}

/** DEL of a running pod in a situation, and then the end of the pod, leave the node as it was before, and no record. */
export async function assertLeavesNothing(
  node: LabNode,
  pod: Pod,
  before: string,
  situation: Situation,
): Promise<void> {
  const { happened, call, aside = [] } = situation;
  await happened?.(node, pod);
  await del(node, pod, call);
  await node.withoutEgress(() => node.end(pod));
  assertUnchanged(before, await snapshot(node));
  const [lock, ...others] = (await node.records()).toReversed();
  assert.equal(lock, 'lock');
  assert.equal(others.length, aside.length, `${others}`);
  assert.ok(
    aside.every((name, i) => others[i]?.startsWith(name)),
    `${others}`,
  );
}
