import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';

const dataDir = '/var/lib/cni/egress';
const goesOn = 'The agent goes on without its lock, and tries again';

/** The exit with less than it had. */
const onlyIPv4 = { addresses: partners.addresses.slice(0, 1), nextHop: partners.nextHop.slice(0, 1) };

/** What happens to a data folder, and how it ends. */
interface Trouble {
  readonly begin: string;
  readonly end: string;
  /** The error of who wants to write. */
  readonly error: string;
  /** Whether new files can be made, though nothing can be put into them: the agent's lock, too. */
  readonly takesFiles?: true;
}

const troubles: Readonly<Record<string, Trouble>> = {
  'that is full': {
    begin: `! cat /dev/zero > ${dataDir}/ballast 2>/dev/null`,
    end: `rm ${dataDir}/ballast`,
    error: 'ENOSPC',
    takesFiles: true,
  },
  'that takes no more files': {
    begin: `! seq -f ${dataDir}/ballast%g 200 | xargs touch 2>/dev/null`,
    end: `rm ${dataDir}/ballast*`,
    error: 'ENOSPC',
  },
  'that is read-only': {
    begin: `mount --bind ${dataDir} ${dataDir} && mount -o remount,bind,ro ${dataDir}`,
    end: `umount ${dataDir}`,
    error: 'EROFS',
  },
};

const shell = ({ machine }: LabNode, script: string): Promise<string> => machine.must(['sh', '-ec', script]);

/** A node whose data folder is a small disk of its own. */
async function withSmallDisk(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  await shell(node, `mkdir -p ${dataDir} && mount -t tmpfs -o size=256k,nr_inodes=50 none ${dataDir}`);
  return node;
}

const flush = ({ machine }: LabNode): Promise<string> => machine.must(['nft', 'delete table inet cni-egress']);
const mended = 'put back what somebody had taken or changed';

describe('a data folder', labTest, () => {
  for (const [what, { begin, end, error, takesFiles }] of Object.entries(troubles)) {
    test(`${what} keeps no agent from putting back what somebody takes: said once, and written down as soon as that can be`, async () => {
      await using lab = await Lab.create();
      const node = await withSmallDisk(lab);
      const pod = await node.started();
      await shell(node, begin);
      const agent = await RunningAgent.start(node);
      for (const _ of [1, 2]) {
        const said = agent.length;
        await flush(node);
        await agent.line(mended, said);
        assert.deepEqual(await pod.askEach(), partners.addresses);
      }
      const lines = agent.daemon.lines.filter((line) => line.includes(goesOn));
      assert.equal(lines.length, takesFiles ? 0 : 1, agent.daemon.lines.join('\n'));
      assert.match(agent.daemon.lines.join('\n'), new RegExp(`${error}[^]*"egress status" does not know what it does`));
      const late = await node.cnitool('add', await node.pod());
      assert.notEqual(late.code, 0);
      assert.match(`${late.stdout}${late.stderr}`, new RegExp(error));
      await shell(node, end);
      const said = agent.length;
      await flush(node);
      await agent.line(mended, said);
      assert.match((await node.egress('status')).stdout, /\nAn agent runs since .*\nIt mended last at /);
      assert.equal((await node.egress('check')).code, 0);
      assert.deepEqual(await (await node.started()).askEach(), partners.addresses);
      assert.equal(await agent.end(), 'exit code 0');
    });

    test(`${what} keeps running agents from nothing but what has to be written down`, async () => {
      await using lab = await Lab.create();
      const node = await withSmallDisk(lab);
      const policyAs = (exit: object) =>
        writeFile(node.configuration('policy.json'), JSON.stringify({ ...policy, exits: [{ ...partners, ...exit }] }));
      await policyAs({});
      await node.write({ egress: { type: 'egress', policyFile: '/etc/cni/policy.json' } });
      const pod = await node.started();
      const agent = await RunningAgent.start(node);
      await shell(node, begin);
      await policyAs(onlyIPv4);
      await agent.line(error);
      const said = agent.length;
      await flush(node);
      await agent.line(mended, said);
      assert.deepEqual(await pod.askEach(), partners.addresses);
      await shell(node, end);
      await policyAs(onlyIPv4);
      await agent.line('the node is as the configuration says now');
      assert.deepEqual(await pod.askEach(), [partners.addresses[0], 'nothing']);
      assert.equal((await node.egress('check')).code, 0);
    });
  }
});

/** Bytes of memory that a process has had at most (proc(5), VmHWM), in MiB. */
async function mostMemory(pid: number): Promise<number> {
  const [, kilobytes = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

describe('an agent', labTest, () => {
  test('does not read a policy file of 20 MB: it says so, keeps what it has, and goes by the next one', async (t) => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const policyFile = node.configuration('policy.json');
    await writeFile(policyFile, JSON.stringify(policy));
    await node.write({ egress: { type: 'egress', policyFile: '/etc/cni/policy.json' } });
    const pod = await node.started();
    const agent = await RunningAgent.start(node);
    const before = await mostMemory(agent.pid);
    await writeFile(`${policyFile}.new`, JSON.stringify({ ...policy, policies: [] }) + ' '.repeat(20_000_000));
    await rename(`${policyFile}.new`, policyFile);
    await agent.line('The last good configuration stays in force.');
    assert.match(
      agent.daemon.lines.join('\n'),
      /policy.json cannot be read: it has 200\d+ bytes, and no more than 8388608 are read/,
    );
    await flush(node);
    await agent.line(mended);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    const after = await mostMemory(agent.pid);
    t.diagnostic(`at most ${before} MiB before, ${after} MiB after`);
    assert.ok(after - before < 19, 'as much as the file has was never in memory');
    await writeFile(policyFile, JSON.stringify({ ...policy, policies: [] }));
    await agent.line('a pod has no exit any more');
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
  });

  // A node where something changes thousands of routes, while the agent gets no time: the kernel drops what it would tell.
  test('that the kernel could not tell all looks at all of the node at once, and says so', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const agent = await RunningAgent.start(node);
    process.kill(agent.pid, 'SIGSTOP');
    const routes = Array.from({ length: 4_000 }, (_, i) => `203.0.${i >> 8}.${i & 255} dev lo table 4000`);
    for (const verb of ['add', 'del']) await node.machine.ip(...routes.map((route) => `route ${verb} ${route}`));
    await node.machine.must(['ip', '-4', 'rule', 'flush', 'protocol', '230']);
    process.kill(agent.pid, 'SIGCONT');
    await agent.line('the kernel had no room for its notifications');
    assert.match(await agent.line(mended), /rule .* is missing/);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.equal(agent.said().filter(({ msg }) => `${msg}`.includes('could not be done')).length, 0);
  });
});
