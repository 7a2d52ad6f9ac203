import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { CniCommand, PluginOutcome } from '../support/plugin.ts';
import type { Pod } from '../support/pod.ts';
import { tool } from '../support/tools.ts';

/** A system call of the plugin's main thread: its name, and which of that name it is, from 1. */
interface Place {
  readonly name: string;
  readonly number: number;
  /** What it is called for, and behind which other call. */
  readonly kind: string;
}

/** Calls of V8's own, for memory and among its threads: where these fail it ends the process, before any code of ours. */
const ofEngine = new Set([
  ...['futex', 'mmap', 'munmap', 'mprotect', 'madvise', 'brk', 'clone3', 'getpid', 'gettid', 'sched_getaffinity'],
  ...[
    'rt_sigaction',
    'rt_sigprocmask',
    'rt_sigreturn',
    'exit_group',
    'capget',
    'getuid',
    'geteuid',
    'getgid',
    'getegid',
  ],
]);
/** V8 has collected garbage, and Node's loop is woken for that (eventfd(2), uv_async_send): no kernel refuses it but by a filter. */
const wakesLoop = /^write\(\d+, "\\1(\\0){7}", 8\)/;
const errors = ['EIO', 'ENOMEM', 'EPERM'] as const;
/**
 * One call in so many is made to fail, a different one for each error; `EGRESS_FAULTS=all` makes each fail in each way,
 * `EGRESS_FAULTS=kinds` the first of each kind in one way, and the last in the others.
 */
const step = process.env.EGRESS_FAULTS === 'all' ? 1 : 20;

function chosen(places: readonly Place[], i: number): readonly Place[] {
  if (process.env.EGRESS_FAULTS !== 'kinds') return places.filter((_, at) => (at + i) % step === 0);
  const ordered = i === 0 ? places : places.toReversed();
  return ordered.filter(({ kind }, at) => ordered.findIndex((other) => other.kind === kind) === at);
}

/** The call with the file, the message or the option that it is about, without what differs from run to run. */
function aboutOf(line: string): string {
  const [start = ''] = /^\w+\((?:[012],)?/.exec(line) ?? [];
  const [, message = ''] = /nlmsg_type=([A-Z_]+(?:<<8\|\w+)?|0x\w+)/.exec(line) ?? [];
  const [, path = ''] = /"(\/[^"]*)"/.exec(line) ?? [];
  const words = line.match(/\b(SOL?|NETLINK|F|LOCK|O)_[A-Z_]+/g) ?? [];
  return [start, message, path.replaceAll(/[0-9a-f]{8,}|\d+/g, ''), ...words].join(' ');
}

const traced = (...more: readonly string[]) => [tool('strace'), '-qq', ...more];

// Disks that fail, cgroups without memory, and filters of system calls: with cni-egress 0.1.0 what Node needs for waiting
// (io_uring, epoll) ended the process with an abort and without an answer, and a stdout that cannot be flushed let it hang.
describe('a system call that fails', labTest, () => {
  for (const command of ['ADD', 'DEL', 'GC', 'CHECK', 'STATUS', 'VERSION'] as const) {
    test(`in ${command} makes it fail with one JSON document and a code, or not at all`, async (t) => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.withoutEgress(() => node.started());
      const places = await placesOf(node, command, pod);
      assert.ok(places.length > 2, `${places.length} places`);
      const wrong: string[] = [];
      for (const [i, error] of errors.entries()) {
        const some = chosen(places, i);
        let failed = 0;
        for (const place of some) {
          await before(node, command, pod);
          const how = `inject=${place.name}:error=${error}:when=${place.number}`;
          const outcome = await called(node, command, pod, traced('-o', '/dev/null', '-e', how));
          if (outcome.code !== 0) failed++;
          const fault = faultOf(command, outcome) ?? (outcome.code === 0 ? await undone(node, command, pod) : '');
          if (fault) wrong.push(`${how}: ${fault}`);

          assert.deepEqual((await node.plugin('DEL', { pod })).code, 0, how);
        }
        t.diagnostic(`${error}: ${some.length} of ${places.length} system calls, ${failed} answered with an error`);
      }
      assert.deepEqual(wrong, []);
    });
  }
});

/** What is wrong with an answer. */
function faultOf(command: CniCommand, { code, stdout, stderr }: PluginOutcome): string | undefined {
  const document = jsonOf(stdout);
  const answers = command === 'ADD' || command === 'VERSION' ? typeof document === 'object' : stdout === '';
  const isError = typeof (document as { code?: unknown } | undefined)?.code === 'number';
  return (code === 0 ? answers && !isError : code === 1 && isError) ? undefined : `${code}, "${stdout}", ${stderr}`;
}

/** What a call that succeeded has not done, or left; empty when all is as its answer says. */
async function undone(node: LabNode, command: CniCommand, pod: Pod): Promise<string> {
  if (command === 'ADD') return (await node.plugin('CHECK', { pod })).stdout;
  if (command !== 'DEL' && command !== 'GC') return '';
  const shown = [['nft', 'list', 'tables'], ...['-4', '-6'].map((family) => ['ip', family, 'rule'])];
  const left = await Promise.all(shown.map((one) => node.machine.must(one)));
  return (
    left
      .join('')
      .match(/.*(cni-egress|proto 230).*/g)
      ?.join('; ') ?? ''
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function before(node: LabNode, command: CniCommand, pod: Pod): Promise<void> {
  if (command === 'DEL' || command === 'GC' || command === 'CHECK')
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
}

async function called(
  node: LabNode,
  command: CniCommand,
  pod: Pod,
  through: readonly string[],
): Promise<PluginOutcome> {
  const all = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
  const call = command === 'STATUS' || command === 'GC' ? { config: all } : { pod };
  return await node.plugin(command, { ...call, through });
}

/** The system calls of a call that succeeds, from when it reads its request. */
async function placesOf(node: LabNode, command: CniCommand, pod: Pod): Promise<readonly Place[]> {
  await before(node, command, pod);
  const log = `${node.folder}/trace`;
  const { code, stdout } = await called(node, command, pod, traced('-o', log));
  assert.equal(code, 0, stdout);
  await node.plugin('DEL', { pod });
  const lines = (await readFile(log, 'utf8')).split('\n');
  const names = lines.map((line) => /^\w+\((?:[01],)?/.exec(line)?.[0] ?? '');
  const counts = new Map<string, number>();
  const places = names.map((start, at): Place => {
    const name = start.split('(')[0] ?? '';
    const number = (counts.get(name) ?? 0) + 1;
    counts.set(name, number);
    return { name, number, kind: `${aboutOf(lines[at] ?? '')} after ${names[at - 1]}` };
  });
  // VERSION, which needs no addon, ends as Node does: what that needs is not ours.
  const end = command === 'VERSION' ? names.indexOf('write(1,') + 1 : undefined;
  const begin = names.indexOf('read(0,');
  return places.filter(({ name }, at) => {
    const isOurs = name !== '' && !ofEngine.has(name) && !wakesLoop.test(lines[at] ?? '');
    return isOurs && at >= begin && (end === undefined || at < end);
  });
}
