import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { holdsIn, traceOfHolds } from '../bench/holds.ts';
import { egressEntry } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import { netlinkTraffic } from '../support/netlink-traffic.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { changedLines } from '../support/snapshot.ts';

const config = { cniVersion: '1.1.0' };

/** A pod that only the call of a test steers, beside one of the same program that is there. */
async function twoPods(node: LabNode): Promise<Pod> {
  await node.started();
  return await node.withoutEgress(() => node.started());
}

async function call(node: LabNode, command: 'ADD' | 'CHECK' | 'DEL', pod: Pod): Promise<void> {
  const { code, stdout } = await node.plugin(command, { pod, config });
  assert.equal(code, 0, `${command}: ${stdout}`);
}

/** Messages that a call sends to the kernel. */
const sent = async (lab: Lab, node: LabNode, command: 'ADD' | 'CHECK' | 'DEL', pod: Pod): Promise<number> =>
  (await netlinkTraffic(lab, (through) => node.plugin(command, { pod, through, config }))).sent;

const ruleset = ({ machine }: LabNode): Promise<string> => machine.must(['nft', '-s', 'list', 'ruleset']);

describe('what the last call knew of our tables', labTest, () => {
  test('is not read again while nobody changed the ruleset: the pod gets its own part, and loses it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await twoPods(node);
    const without = await ruleset(node);
    const all = await sent(lab, node, 'ADD', pod); // the bridge's plugin changed the ruleset for this pod
    const looked = await ruleset(node);
    await call(node, 'CHECK', pod);
    await call(node, 'DEL', pod);
    assert.deepEqual(changedLines(without, await ruleset(node)), []);
    assert.ok((await sent(lab, node, 'ADD', pod)) < 0.7 * all);
    assert.deepEqual(changedLines(looked, await ruleset(node)), []);
    await node.machine.must(['nft', 'add', 'table', 'inet', 'another']);
    const checked = await sent(lab, node, 'CHECK', pod);
    await call(node, 'DEL', pod);
    await call(node, 'ADD', pod);
    assert.ok((await sent(lab, node, 'CHECK', pod)) < 0.8 * checked);
  });

  // On real nodes the plugin before us changes the ruleset for its masquerade, before each ADD.
  test('is little worth beside a plugin that changes nftables before each ADD, which asks some more then', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await twoPods(node);
    await call(node, 'ADD', pod);
    await call(node, 'DEL', pod);
    const noted = await sent(lab, node, 'ADD', pod);
    await call(node, 'DEL', pod);
    await node.machine.must(['nft', 'add table ip another; delete table ip another']);
    const besideOthers = await sent(lab, node, 'ADD', pod);
    assert.ok(noted <= 31 && besideOthers <= 56, `${noted} messages, ${besideOthers} beside others`);
  });

  // Forty pods that start at once: the plugins of all change nftables, and the first ADD kept the lock until they had done so.
  test('and what is there is looked at once, however often others change nftables meanwhile', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const log = join(lab.folder, 'log');
    await node.write({ egress: egressEntry({ logFile: log, logLevel: 'debug' }) });
    const { pid } = await node.machine.start(
      ['sh', '-c', 'echo on; while nft "add table ip another; delete table ip another"; do :; done'],
      'on',
    );
    for (let i = 0; i < 3; i++) await node.end(await node.started());
    process.kill(pid);
    const tries = readFileSync(log, 'utf8').match(/"tried":\d+/g) ?? [];
    assert.deepEqual([...new Set(tries)], ['"tried":1']);
  });

  // A listing walks through all of conntrack's table, however few connections are in it: that is ten milliseconds.
  test('or not: an ADD lists connections, and others that wait for the lock do not wait for that', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await twoPods(node);
    const trace = join(lab.folder, 'holds');
    assert.equal((await node.plugin('ADD', { pod, config, through: traceOfHolds(trace) })).code, 0);
    const lines = readFileSync(trace, 'utf8').split('\n');
    const [hold, ...others] = holdsIn(lines);
    assert.deepEqual([others, hold?.connectionListings, hold?.records], [[], 0, 1]);
    assert.ok(lines.some((line) => line.includes('IPCTNL_MSG_CT_GET')));
  });

  for (const [what, command] of Object.entries({
    'flushed all rules': 'nft flush ruleset',
    'flushed one of our chains': 'nft flush chain inet cni-egress nat',
    'deleted our table at interfaces': 'nft delete table netdev cni-egress',
    'took an address from an exit': 'nft flush map inet cni-egress snat4',
    'put a chain of their own into our table': `nft add chain inet cni-egress mine '{ type filter hook forward priority 0; policy drop; }'`,
  })) {
    test(`is read again when somebody ${what}`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await twoPods(node);
      await call(node, 'ADD', pod);
      await call(node, 'DEL', pod);
      await node.machine.must(['sh', '-c', command]);
      await call(node, 'ADD', pod);
      await node.machine.must(['nft', 'add', 'table', 'inet', 'another']); // all is looked at
      await call(node, 'CHECK', pod);
    });
  }

  test('is not all: what went with the exit’s interface comes back, without a new generation of the ruleset', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await twoPods(node);
    await call(node, 'ADD', pod);
    await call(node, 'DEL', pod);
    const shown = await node.machine.must(['ip', '-o', 'address', 'show', 'dev', 'eth1', 'scope', 'global']);
    const addresses = [...shown.matchAll(/inet6? (\S+)/g)].map(([, address = '']) => address);
    const elsewhere = await lab.namespace(lab.unique('elsewhere'));
    await node.machine.ip(`link set eth1 netns ${elsewhere.name}`);
    await elsewhere.ip(`link set eth1 netns ${node.machine.name}`);
    await node.machine.ip(
      'link set eth1 up',
      ...addresses.map((address) => `address add ${address} dev eth1 ${address.includes(':') ? 'nodad' : ''}`),
    );
    await call(node, 'ADD', pod);
    assert.match(await node.machine.must(['nft', 'list', 'chain', 'netdev', 'cni-egress', 'sent-eth1']), /hook egress/);
    await node.machine.must(['nft', 'add', 'table', 'inet', 'another']);
    await call(node, 'CHECK', pod);
  });
});
