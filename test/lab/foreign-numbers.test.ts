import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import { ip, nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

// BIRD, FRR and scripts of administrators choose protocol numbers freely: 230 is in no registry.

const [gateway4, gateway6] = world.front.gateway;

/** Rules and routes with our number, also at our priorities and in our tables, and how they are named. */
const numbered = {
  rules: [
    ['-4', 'priority 5000 from 10.99.0.0/16 lookup 99', 'ip rule priority 5000 from 10.99.0.0/16 lookup 99'],
    ['-6', 'priority 5000 from fd00:99::/64 lookup 99', 'ip -6 rule priority 5000 from fd00:99::/64 lookup 99'],
    ['-4', 'priority 701 to 198.51.100.0/24 lookup 98', 'ip rule priority 701 to 198.51.100.0/24 lookup 98'],
    ['-4', 'priority 800 fwmark 0x1/0x1 goto 900', 'ip rule priority 800 fwmark 0x1/0x1 goto 900'],
    ['-6', 'priority 900 nop', 'ip -6 rule priority 900 nop'],
    ['-4', 'priority 902 iif eth0 blackhole', 'ip rule priority 902 iif eth0 blackhole'],
    ['-4', 'priority 903 ipproto tcp dport 25 unreachable', 'ip rule priority 903 … unreachable'],
  ],
  routes: [
    ['-4', `default via ${gateway4} dev eth0 table 99`, `ip route default via ${gateway4} dev eth0 table 99 metric 0`],
    [
      '-6',
      `default via ${gateway6} dev eth0 table 99`,
      `ip -6 route default via ${gateway6} dev eth0 table 99 metric 1024`,
    ],
    ['-4', 'blackhole 198.51.100.0/24 table 98', 'ip route blackhole 198.51.100.0/24 table 98 metric 0'],
  ],
} as const;

const tables = [`add table ${table}`, 'add table netdev cni-egress'];

async function addNumbered(node: LabNode): Promise<void> {
  for (const [family, words] of numbered.rules) await ip(node, `${family} rule add ${words} protocol 230`);
  for (const [family, words] of numbered.routes) await ip(node, `${family} route add ${words} proto 230`);
}

/** `egress check` names each of them, as no fault. */
async function assertLeft(node: LabNode): Promise<void> {
  const { code, stdout } = await node.egress('check');
  assert.equal(code, 0, stdout);
  for (const [, , words] of [...numbered.rules, ...numbered.routes]) {
    assert.ok(stdout.includes(`warning: ${words} has our protocol number 230, and is none of ours`), stdout);
  }
}

describe('what others made with our number', labTest, () => {
  for (const isLost of [false, true]) {
    test(`is named, and outlives the last pod${isLost ? ' after all records were lost' : ''}`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.settle();
      await addNumbered(node);
      const before = await snapshot(node);
      const pods = [await node.started(), await node.started()];
      await assertLeft(node);
      for (const pod of pods) {
        assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
        assert.equal((await node.plugin('CHECK', { pod })).code, 0);
      }
      if (isLost) await rm(node.state('egress'), { recursive: true });
      for (const pod of pods) await node.end(pod);
      assertUnchanged(before, await snapshot(node));
      await assertLeft(node);
    });
  }

  test('in the table of an exit outlives the last pod, too', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.settle();
    const pod = await node.started();
    const own = exitTable(await node.machine.must(['ip', 'rule']));
    await node.machine.ip(`route add unreachable 198.51.100.0/24 proto 230 metric 7 table ${own}`);
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    await node.end(pod);
    assert.match(await node.machine.must(['ip', 'route', 'show', 'table', 'all']), /198\.51\.100\.0\/24.*proto 230/);
  });
});

/** The table that the rule of the only exit leads to. */
function exitTable(rules: string): string {
  const [, found] = /fwmark \S+ lookup (\d+) proto 230/.exec(rules) ?? [];
  assert.ok(found, rules);
  return found;
}

describe('an empty table of somebody else that has our name', labTest, () => {
  test('is as it was when the last pod has gone, though pods were steered by it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.settle();
    await nft(node, ...tables);
    const before = await snapshot(node);
    const pods = [await node.started(), await node.started()];
    for (const pod of pods) assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.equal((await node.egress('check')).code, 0);
    for (const pod of pods) await node.end(pod);
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
    const { stdout } = await node.egress('check');
    for (const name of [table, 'netdev cni-egress'])
      assert.ok(stdout.includes(`warning: nft table ${name} has our name, and holds nothing of ours`), stdout);
  });

  test('is left when it came in the place of ours, and all of ours outside of it goes', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.settle();
    const before = await snapshot(node);
    const pod = await node.started();
    await nft(node, `delete table ${table}`, 'delete table netdev cni-egress', ...tables);
    await node.end(pod);
    for (const name of [table, 'netdev cni-egress']) await nft(node, `delete table ${name}`);
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
  });
});
