import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';

/** What the command of conf/limits.md writes to, and nftables.service of Debian loads at boot. */
const saved = '/etc/nftables.conf';

/** Tables of others, with what a shell could take apart: spaces, quotes, stars, and a backslash at the end of a line. */
const others = `
table inet filter {
  set ports { type inet_service; flags interval; elements = { 22, 8000-8010 } }
  chain input { type filter hook input priority filter; policy accept;
    tcp dport @ports counter accept comment "what * is  in \\\\ quotes $HOME"
  }
}
table ip other { chain post { type nat hook postrouting priority srcnat; oifname "eth*" counter masquerade; }; }
table ip6 cni-egress-of-somebody { chain a { ip6 daddr fd00::/8 drop; }; }
table bridge filter { chain forward { type filter hook forward priority 0; policy accept; }; }
`;

// nftables.service saves and loads a whole ruleset (Debian 12, nftables 1.0.6). With our tables in it Linux 6.12 loads none of
// it while an interface is missing that a chain of the family netdev is at: the node comes up without its own filters.
describe('a ruleset that is saved while pods are steered', labTest, () => {
  test('by the command of conf/limits.md has all tables but ours, and loads on a machine without the node’s interfaces', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithOthers(lab);
    const tables = (await node.machine.must(['nft', 'list', 'tables'])).trim().split('\n');
    await node.machine.must(['sh', '-ec', await commandOfLimits()]);
    const booted = await lab.namespace('booted');
    const text = await readFile(join(node.folder, 'saved'), 'utf8');
    await booted.must(['nft', '-f', '-'], { stdin: 'table inet old { }' });
    await booted.must(['nft', '-f', '-'], { stdin: text });
    const isOurs = (table: string) => table.endsWith(' cni-egress');
    assert.equal(tables.filter(isOurs).length, 2, tables.join());
    const theirs = tables.filter((table) => !isOurs(table));
    assert.ok(theirs.length >= 4);
    const loaded = (await booted.must(['nft', 'list', 'tables'])).trim().split('\n');
    assert.deepEqual(loaded.toSorted(), theirs.toSorted());
    for (const table of theirs) {
      const list = ['nft', '-s', 'list', ...table.split(' ')];
      // What iptables wrote, nft lists with one space more.
      const [left, right] = [await booted.must(list), await node.machine.must(list)].map((t) => t.replace(/ +/g, ' '));
      assert.equal(left, right, table);
    }
  });

  test('is warned of by egress check when it has our tables, and no more when it has not', async () => {
    await using lab = await Lab.create();
    const node = await nodeWithOthers(lab);
    assert.doesNotMatch((await node.egress('check')).stdout, /warning: .*saved/);
    await node.machine.must(['sh', '-ec', `nft -s list ruleset > ${saved}`]);
    const { code, stdout } = await node.egress('check');
    assert.match(
      stdout,
      /^warning: \/etc\/nftables\.conf holds table cni-egress, saved while pods were steered: .*conf\/limits\.md/m,
    );
    assert.equal(code, 0, stdout);
    await node.machine.must(['sh', '-ec', await commandOfLimits()]);
    assert.doesNotMatch((await node.egress('check')).stdout, /nftables\.conf/);
  });
});

/** A node with a steered pod and with tables of others, which has a file of its own at the place of {@link saved}. */
async function nodeWithOthers(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  await node.started();
  await node.machine.must(['nft', '-f', '-'], { stdin: others });
  const own = join(node.folder, 'saved');
  await writeFile(own, '');
  await node.machine.must(['mount', '--bind', own, saved]);
  return node;
}

/** The command as people copy it. */
async function commandOfLimits(): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../../conf/limits.md'), 'utf8');
  const commands = text.split('\n').filter((line) => line.endsWith(`> ${saved}`));
  assert.equal(commands.length, 1, commands.join('\n'));
  return commands[0] ?? '';
}
