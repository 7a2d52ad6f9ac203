import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab, labTest } from '../support/lab.ts';
import { assertMended, assertNamed } from '../support/mending.ts';
import { nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** Something that others do inside our tables, after which our rules do not act as they should. */
interface Interference {
  readonly what: string;
  readonly happens: readonly string[];
  readonly named: string;
}

const sent = 'netdev cni-egress';

const interferences: readonly Interference[] = [
  {
    what: 'somebody made our table dormant',
    happens: [`add table ${table} { flags dormant; }`],
    named: 'table inet cni-egress is dormant: none of its rules acts',
  },
  {
    what: 'somebody made the table that counts dormant',
    happens: [`add table ${sent} { flags dormant; }`],
    named: 'table netdev cni-egress is dormant: none of its rules acts',
  },
  {
    what: 'a base chain of somebody else in our table sends packets of pods on with another source',
    happens: [
      `add chain ${table} early { type filter hook prerouting priority -95; policy accept; }`,
      `add rule ${table} early ip saddr 10.0.0.0/24 ip saddr set 172.18.0.11`,
    ],
    named: 'base chain early should not be there',
  },
  {
    what: 'a base chain of somebody else stands in the table that counts',
    happens: [`add chain ${sent} early { type filter hook egress device eth1 priority -5; policy accept; }`],
    named: 'base chain early should not be there',
  },
  {
    what: 'our table is dormant, lacks a base chain, and has one of somebody else',
    happens: [
      `delete chain ${table} guard`,
      `add chain ${table} program-late { type nat hook postrouting priority 90; policy accept; }`,
      `add table ${table} { flags dormant; }`,
    ],
    named: 'table inet cni-egress is dormant: none of its rules acts',
  },
];

describe('what others do inside our tables', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;
  let whole: string;

  before(async () => {
    lab = await Lab.create();
    node = await lab.node();
    pod = await node.started();
    whole = await snapshot(node);
  });

  after(() => lab.remove());

  for (const { what, happens, named } of interferences) {
    test(`is named by CHECK and ended by ADD, when ${what}`, async () => {
      for (const command of happens) await nft(node, command);
      await assertNamed(node, pod, named);
      assert.match((await node.egress('check')).stdout, new RegExp(named));
      await assertMended(node, pod, whole);
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    });
  }

  test('is ended by egress repair without another ADD, and no packet leaves by a wrong way after it', async () => {
    await nft(node, `add table ${table} { flags dormant; }`);
    const { code, stdout } = await node.egress('repair');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^Mended: table inet cni-egress is dormant/m);
    const capture = await node.capture();
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.deepEqual(leaks(await capture.stop()), []);
    assert.equal((await node.egress('check')).code, 0);
  });

  test('keeps no pod that starts then from its exit', async () => {
    await nft(node, `add table ${table} { flags dormant; }`);
    const next = await node.started();
    assert.deepEqual(await next.askEach('udp'), world.exitAddress);
    await node.end(next);
  });
});

describe('a set that has one of our names and another type', labTest, () => {
  const taken = `add map ${table} pods4 { type inet_service : verdict; }`;

  test('is named by ADD, CHECK says the same, and every DEL succeeds, the last one with all of ours', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [first, second] = [await node.started(), await node.started()];
    await nft(
      node,
      ...['classify', 'nat', 'guard', 'lost', 'judge', 'unmarked', 'decide'].map(
        (chain) => `flush chain ${table} ${chain}`,
      ),
      `delete map ${table} pods4`,
      taken,
      `add element ${table} pods4 { 80 : drop }`,
    );
    const words =
      'map pods4 of table inet cni-egress is a map of type inet_service : verdict, expected a map of type ipv4_addr : verdict with counters';
    await assertNamed(node, first, words);
    const { json } = await node.plugin('ADD', { pod: first });
    const { code, details } = json as { code: number; details: string };
    assert.equal(code, 119);
    assert.ok(details.includes(words), details);
    const next = await node.pod();
    await assert.rejects(node.add(next), /map pods4 of table inet cni-egress is a map/);
    for (const pod of [next, first, second]) {
      const { code, stdout, stderr } = await node.plugin('DEL', { pod });
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' });
    }
    assert.doesNotMatch(await node.machine.must(['nft', 'list', 'tables']), /cni-egress/);
    assert.deepEqual(await node.records(), ['lock']);
  });
});
