import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { partners } from '../support/chain.ts';
import { sweep, sweepRequests } from '../support/killing.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import type { Daemon } from '../support/run.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/** Each second address of 198.18.0.0/15, and each second /48 of 2001:db8::/32: what lies between two is not steered. */
const ranges = (count: number) =>
  Array.from({ length: count / 2 }, (_, i) => [
    `198.18.${i >> 7}.${2 * (i & 127)}`,
    `2001:db8:${(2 * i).toString(16)}::/48`,
  ]).flat();

/** One address of each family: of the range with this number, and just behind it. */
const inside = (i: number) => [`198.18.${i >> 7}.${2 * (i & 127)}`, `2001:db8:${(2 * i).toString(16)}::9`];
const behind = (i: number) => [`198.18.${i >> 7}.${2 * (i & 127) + 1}`, `2001:db8:${(2 * i + 1).toString(16)}::9`];

const policyFile = '/etc/cni/policy.json';
/** What ADD keeps of the policy file. */
const summary = 'egress/policies.summary';
/** Changes of the policy file that are younger count as not over yet. */
const settledMs = 2100;

const policy = (destinations: readonly string[]) => ({
  clusterCIDRs: world.cluster,
  exits: [partners],
  policies: [{ name: 'many', namespaces: ['default'], destinations, exit: partners.name }],
});

const writePolicy = (node: LabNode, destinations: readonly string[]) =>
  writeFile(node.configuration('policy.json'), JSON.stringify(policy(destinations)));

/** More than an ADD sends to the kernel. */
const mostMessages = 100;

const settled = () => new Promise((resolve) => setTimeout(resolve, settledMs));

/** A node with a policy file that is some seconds old. */
async function newNode(lab: Lab, count: number, number?: number): Promise<LabNode> {
  const node = await lab.node(number);
  for (const { host } of [lab.front, lab.back]) await host.ip('route replace local 198.18.0.0/15 dev lo');
  await writePolicy(node, ranges(count));
  await node.write({ egress: { type: 'egress', policyFile } });
  await node.settle();
  await settled();
  return node;
}

/** A pod that the primary plugin has added. */
const primed = (node: LabNode): Promise<Pod> => node.withoutEgress(() => node.started());

/** The transactions in nf_tables during an action, each as the lines in which nft tells it. */
async function transactionsDuring(
  node: LabNode,
  action: () => Promise<unknown>,
): Promise<readonly (readonly string[])[]> {
  const monitor = await node.machine.start(['sh', '-c', 'echo ready; exec nft monitor'], 'ready');
  await mark(node, monitor, 'begin');
  await action();
  await mark(node, monitor, 'end');
  await monitor.stop();
  const transactions: string[][] = [[]];
  for (const line of monitor.lines) {
    if (line.startsWith('# new generation')) transactions.push([]);
    else transactions.at(-1)?.push(line);
  }
  return transactions.filter(
    (lines) => lines.length > 0 && !lines.some((line) => / table inet (begin|end)$/.test(line)),
  );
}

/** Makes a table come and go until the monitor has seen it. */
async function mark(node: LabNode, monitor: Daemon, name: string): Promise<void> {
  while (!monitor.lines.includes(`delete table inet ${name}`)) {
    await node.machine.must(['nft', `add table inet ${name}; delete table inet ${name}`]);
  }
}

const withoutLock = (files: readonly string[]) => files.filter((name) => name !== 'lock');

/** How many bytes an ADD reads, of files and from the kernel. */
async function bytesReadByAdd(node: LabNode, pod: Pod): Promise<number> {
  const trace = join(node.folder, 'trace');
  const calls = 'trace=read,pread64,readv,recvfrom,recvmsg';
  const through = [tool('strace'), '-f', '-qq', '-o', trace, '-e', calls, '-e', 'signal=none'];
  const { code, stdout } = await node.plugin('ADD', { pod, through });
  assert.equal(code, 0, stdout);
  const sizes = [...(await readFile(trace, 'utf8')).matchAll(/ = (\d+)$/gm)].map(([, size]) => Number(size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

const plainAdd = async (node: LabNode, pod: Pod) => {
  const { code, stdout } = await node.plugin('ADD', { pod });
  assert.equal(code, 0, stdout);
};

const programs = async (node: LabNode): Promise<readonly string[]> =>
  (await node.egress('check')).code === 0 ? readdir(node.state('egress/programs')) : [];

describe('a policy of 10,000 destinations', labTest, () => {
  test('is there at once, steers exactly what it names, and goes with its last pod', async () => {
    await using lab = await Lab.create();
    const node = await newNode(lab, 10_000);
    const before = await snapshot(node);
    const [first, second] = [await primed(node), await primed(node)];

    const [made = [], leading = [], ...none] = await transactionsDuring(node, () => plainAdd(node, first));
    assert.equal(none.length, 0, 'two transactions');
    assert.ok(made.filter((line) => line.includes(' program-')).length >= 10_000, 'of which the first has the ranges');
    assert.ok(
      leading.some((line) => line.includes(' pods4 ')),
      'and the second leads to them',
    );
    for (const i of [0, 1, 63, 64, 2500, 4998, 4999]) {
      assert.deepEqual(await first.askEach('tcp', inside(i)), world.exitAddress, `range ${i}`);
      assert.deepEqual(await first.askEach('tcp', behind(i)), node.addresses('eth0'), `behind range ${i}`);
    }

    const [added = [], ...more] = await transactionsDuring(node, () => plainAdd(node, second));
    const ofNode = added.filter((line) => !/^(add|create) (chain|rule) netdev cni-egress from-/.test(line));
    assert.deepEqual([ofNode.length, more], [10, []]);
    for (const line of ofNode)
      assert.match(line, /^(add|create) element inet cni-egress (pods|programs|steered|checked|ends)[46] /);
    assert.deepEqual(await second.askEach('tcp', inside(4999)), world.exitAddress);
    assert.deepEqual(await second.askEach('tcp', behind(4999)), node.addresses('eth0'));
    for (const file of await readdir(node.state('egress/attachments'))) {
      assert.ok((await stat(node.state(`egress/attachments/${file}`))).size < 2000, 'records of pods are small');
    }
    assert.equal((await node.egress('check')).code, 0);

    for (const pod of [first, second]) {
      assert.equal((await node.plugin('DEL', { pod })).stdout, '');
      await node.withoutEgress(() => node.end(pod));
    }
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
  });

  test('costs an ADD no byte more than one of 10, when its program exists', async () => {
    await using lab = await Lab.create();
    const read: number[] = [];
    for (const [i, count] of [10, 10_000].entries()) {
      const node = await newNode(lab, count, 5 + i);
      await plainAdd(node, await primed(node));
      read.push(await bytesReadByAdd(node, await primed(node)));
    }
    const [few = 0, many = 0] = read;
    assert.ok(few > 0 && Math.abs(many - few) < 1000, `${few} bytes, and ${many}`);
  });

  test('leaves nothing when any of the messages to the kernel fails', async () => {
    await using lab = await Lab.create();
    const node = await newNode(lab, 1000); // which are as many messages
    const pod = await primed(node);
    const before = await snapshot(node);
    let failures = 0;
    for (let place = 1; place <= mostMessages; place++) {
      const inject = ['-e', 'trace=sendto', '-e', `inject=sendto:error=EIO:when=${place}`];
      const { code } = await node.plugin('ADD', {
        pod,
        through: [tool('strace'), '-f', '-qq', '-o', '/dev/null', ...inject],
      });
      if (code === 0) break;
      failures++;
      assert.deepEqual(withoutLock(await node.records()), [], `after message ${place}`);
      assertUnchanged(before, await snapshot(node), `after message ${place}`);
    }
    assert.ok(failures > 10 && failures < mostMessages, `${failures} failures`);
  });
});

describe('a changed policy file', labTest, () => {
  test('is seen by the next ADD, though it has the size and the time of the one before', async () => {
    await using lab = await Lab.create();
    const node = await newNode(lab, 100);
    const file = node.configuration('policy.json');
    for (const _ of [1, 2]) await plainAdd(node, await primed(node));
    assert.ok((await node.records()).includes('policies.summary'));
    const pods = [await primed(node), await primed(node), await primed(node)];
    const { atime, mtime, size } = await stat(file);
    for (const [i, pod] of pods.entries()) {
      await writePolicy(node, ranges(100).with(0, `198.19.0.${i + 2}`));
      await utimes(file, atime, mtime);
      assert.equal((await stat(file)).size, size);
      await plainAdd(node, pod);
      const answers = await pod.askEach(
        'tcp',
        pods.map((_, i) => `198.19.0.${i + 2}`),
      );
      const expected = pods.map((_, other) => (other === i ? world.exitAddress : node.addresses('eth0'))[0]);
      assert.deepEqual(answers, expected);
    }
  });
});

describe('what ADD has kept of the policy file', labTest, () => {
  const ways: readonly [what: string, change: (path: string) => Promise<unknown>][] = [
    ['is gone', (path) => rm(path)],
    ['is garbage', (path) => writeFile(path, 'garbage')],
    ['is truncated', (path) => truncate(path, 100)],
    ['is of another program', async (path) => writeFile(path, (await readFile(path, 'utf8')).replace(/^./, 'x'))],
    [
      'is a folder',
      async (path) => {
        await rm(path);
        await mkdir(join(path, 'inner'), { recursive: true });
      },
    ],
    ['cannot be read', (path) => chmod(path, 0)],
  ];

  test('makes no difference when it is lost or broken', async () => {
    await using lab = await Lab.create();
    const node = await newNode(lab, 100);
    const before = await snapshot(node);
    const pods = [await primed(node)];
    await plainAdd(node, pods[0] as Pod);
    for (const [what, change] of ways) {
      await change(node.state(summary));
      const pod = await primed(node);
      pods.push(pod);
      await plainAdd(node, pod);
      assert.deepEqual(await pod.askEach('tcp', inside(49)), world.exitAddress, what);
      assert.deepEqual(await pod.askEach('tcp', behind(49)), node.addresses('eth0'), what);
      assert.equal((await programs(node)).length, 1, what);
      await rm(node.state(summary), { recursive: true, force: true });
      await plainAdd(node, pod);
    }
    for (const pod of pods) {
      assert.equal((await node.plugin('DEL', { pod })).code, 0);
      await node.withoutEgress(() => node.end(pod));
    }
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
  });

  for (const syscall of ['rename', 'sendto']) {
    test(`and all else is whole or gone when ADD was killed at any ${syscall}`, async () => {
      await using lab = await Lab.create();
      const node = await newNode(lab, 10);
      const pod = await primed(node);
      const call = (through: readonly string[]) => node.plugin('ADD', { pod, through });
      const afterEach = async (place: number) => {
        await plainAdd(node, pod);
        assert.deepEqual(await pod.askEach('tcp', inside(4)), world.exitAddress, `${place}`);
        assert.equal((await node.egress('check')).code, 0, `${place}`);
        assert.equal((await node.plugin('DEL', { pod })).stdout, '', `${place}`);
        await node.machine.ip(`link set ${await linkOf(node)} up`);
        assert.deepEqual(await node.records(), ['lock'], `${place}`);
      };
      const kills = await (syscall === 'sendto' ? sweepRequests(call, afterEach) : sweep(call, syscall, afterEach));
      assert.ok(kills > 3, `${kills} kills`);
    });
  }
});

/** The host end of the only pod's interface. */
async function linkOf(node: LabNode): Promise<string> {
  const links = await node.machine.must(['ip', '-o', 'link', 'show', 'type', 'veth']);
  const link = /^\d+: (veth[^@]+)@/m.exec(links)?.[1];
  return link ?? assert.fail(links);
}
