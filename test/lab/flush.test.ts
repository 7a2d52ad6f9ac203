import assert from 'node:assert/strict';
import { test } from 'node:test';
import { egressEntry } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { describePacket, packetsFrom, packetsTo, tally } from '../support/packets.ts';
import type { Packet } from '../support/pcap.ts';
import type { Pod } from '../support/pod.ts';
import type { Daemon } from '../support/run.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/**
 * `nft flush ruleset` stands at the top of Debian's and Fedora's /etc/nftables.conf, so that `systemctl restart nftables`
 * takes everybody's rules away, ours too. Meanwhile routing goes on, and the node has a default route.
 */
interface Disturbance {
  readonly what: string;
  readonly commands: readonly string[];
  /** Whether what steers is gone with it, so that nothing may leave until it is repaired. */
  readonly closes: boolean;
}

const rules = "ip -$f rule list | sed -n 's/^\\([0-9]*\\):.*proto 230$/\\1/p' | xargs -rn1 ip -$f rule del pref";
const routes =
  "ip -$f rule list | sed -n 's/.*lookup \\([0-9]*\\) proto 230$/\\1/p' | sort -u | xargs -rn1 ip -$f route flush table";
const both = (script: string) => `for f in 4 6; do ${script}; done`;

const ourTables = ['nft delete table netdev cni-egress', 'nft delete table inet cni-egress'];

const disturbances: readonly Disturbance[] = [
  { what: 'the ruleset is flushed', commands: ['nft flush ruleset'], closes: true },
  { what: 'our table is deleted', commands: ['nft delete table inet cni-egress'], closes: true },
  {
    what: 'our table at interfaces is deleted, then the other',
    commands: ourTables,
    closes: true,
  },
  {
    what: 'the ruleset is flushed, and an empty one loaded twice',
    commands: ['nft flush ruleset', 'nft -f - </dev/null', 'nft flush ruleset'],
    closes: true,
  },
  { what: 'iptables is flushed', commands: ['iptables-nft -F', 'iptables-nft -t nat -F'], closes: false },
  { what: 'our policy rules are deleted', commands: [both(rules)], closes: true },
  { what: 'the routes of our tables are flushed', commands: [both(routes)], closes: true },
];

/** A second network of the node, routed without a bridge. */
const routed = {
  name: 'routed',
  primary: 'ptp',
  ranges: [{ subnet: '10.0.1.0/24' }, { subnet: 'fd00:10:0:1::/64' }],
  egress: egressEntry(),
} as const;

/** Ten pods with the exit of the lab, five after each of the primary plugins, all of which others can ask. */
async function tenPods(node: LabNode): Promise<readonly Pod[]> {
  await node.write(routed);
  const pods: Pod[] = [];
  for (let i = 0; i < 5; i++) pods.push(await node.started('default'), await node.started('default', routed.name));
  await Promise.all(pods.map((pod) => pod.serve()));
  return pods;
}

/** What left to somebody outside otherwise than by the exit, and what left with a pod's own address. */
function wrong(packets: readonly Packet[]): readonly string[] {
  const rightly = new Set(
    packetsFrom(packets, ...world.exitAddress).filter((packet) => packet.interface === 'eth1' || packet.ownReset),
  );
  const wrongly = packetsTo(packets, ...world.outside).filter((packet) => !rightly.has(packet));
  return tally([...new Set([...wrongly, ...packetsFrom(packets, ...world.cluster)])].map(describePacket));
}

/** Comes when each sender has sent some twenty rounds more. */
const rounds = (senders: readonly Daemon[]) =>
  Promise.all(senders.map((sender) => sender.line('round ', sender.lines.length)));

const run = (node: LabNode, commands: readonly string[]) => node.machine.must(['sh', '-ec', commands.join('\n')]);

/** Nobody is without an answer: the node asks pods, and pods each other, across the plugins. */
async function asksInside(node: LabNode, [bridged, direct]: readonly Pod[]): Promise<void> {
  assert.ok(bridged && direct);
  for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
    for (const pod of [bridged, direct]) {
      const other = pod === bridged ? direct : bridged;
      assert.doesNotMatch((await pod.askedFrom(node.machine, protocol)).join(), /nothing/, `the node, by ${protocol}`);
      assert.doesNotMatch((await pod.askedFrom(other.network, protocol)).join(), /nothing/, `a pod, by ${protocol}`);
    }
  }
}

test('whatever of ours is taken away, no packet of ten pods leaves with another source', labTest, async (t) => {
  await using lab = await Lab.create();
  const node = await lab.node();
  const pods = await tenPods(node);
  const [pod, other] = pods;
  assert.ok(pod && other);
  const senders = await Promise.all(pods.map((pod) => pod.send('pause=0.05', ...world.service)));
  for (const { what, commands, closes } of disturbances) {
    await t.test(`when ${what}`, async () => {
      const capture = await node.capture();
      await rounds(senders);
      await run(node, commands);
      await rounds(senders);
      const answers = [await pod.askEach('udp'), await other.askEach('tcp')];
      await asksInside(node, pods);
      const { code, stdout, stderr } = await node.egress('repair');
      assert.equal(code, 0, stdout + stderr);
      await rounds(senders);
      const packets = await capture.stop();
      assert.deepEqual(wrong(packets), []);
      const expected = closes ? ['nothing', 'nothing'] : world.exitAddress;
      assert.deepEqual(answers, [expected, expected]);
      assert.deepEqual(await pod.askEach('tcp'), world.exitAddress);
      assert.deepEqual(await other.askEach('udp'), world.exitAddress);
      t.diagnostic(`${what}: ${packetsTo(packets, ...world.outside).length} packets left, none of them wrongly`);
    });
  }
  await Promise.all(senders.map((sender) => sender.stop()));
  assert.equal((await node.egress('check')).code, 0);
});

/** The node's interfaces that have a filter of ours. */
async function marking(node: LabNode): Promise<readonly string[]> {
  const { stdout } = await node.machine.run([
    'sh',
    '-c',
    'for d in $(ls /sys/class/net); do tc filter show dev $d ingress | sed "s,^,$d ,"; done',
  ]);
  return [...stdout.matchAll(/^(\S+) .*handle 0x1 cni-egress-/gm)].map(([, device = '']) => device);
}

test(
  'a pod that ends between a flush and its repair opens the way for no other, and the last leaves nothing',
  labTest,
  async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.settle();
    const before = await snapshot(node);
    const [first, second] = [await node.started('default'), await node.started('default')];
    const beside = await node.started('other');
    assert.equal((await marking(node)).length, 2, 'of a pod without a policy nothing is marked');
    const capture = await node.capture();
    await run(node, ourTables); // not those of the bridge plugin, whose DEL needs its own
    await node.end(first);
    assert.deepEqual(await second.askEach('udp'), ['nothing', 'nothing']);
    assert.deepEqual(packetsTo(await capture.stop(), ...world.service), []);
    assert.equal((await node.egress('repair')).code, 0);
    assert.deepEqual(await second.askEach('tcp'), world.exitAddress);
    await node.end(second);
    await node.end(beside);
    await node.settle();
    assertUnchanged(before, await snapshot(node));
  },
);

test(
  'a pod that has no policy any more is marked no more, and leaves as the node does beside others that are',
  labTest,
  async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [pod, other] = [await node.started('default'), await node.started('default')];
    await node.write({ egress: egressEntry({ policies: [] }) });
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.deepEqual(await pod.askEach('udp'), node.addresses('eth0'));
    assert.deepEqual(await other.askEach('udp'), world.exitAddress);
    assert.equal((await marking(node)).length, 1);
    assert.equal((await node.machine.must(['tc', 'qdisc', 'show'])).match(/clsact/g)?.length, 1);
  },
);

for (const error of ['EPERM', 'ENOSYS'] as const) {
  test(
    `where bpf(2) ends with ${error}, pods start and are steered, and check tells what is not held back`,
    labTest,
    async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.pod();
      await node.withoutEgress(() => node.add(pod));
      const through = [
        tool('strace'),
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        'trace=bpf',
        '-e',
        `inject=bpf:error=${error}`,
      ];
      const added = await node.plugin('ADD', { pod, through });
      assert.equal(added.code, 0, added.stdout);
      assert.deepEqual(await pod.askEach('tcp'), world.exitAddress);
      assert.deepEqual(await marking(node), []);
      const told = await node.egress('check');
      assert.equal(told.code, 0, told.stdout);
      assert.match(told.stdout, /warning: the kernel could not mark what pods send/);
      assert.match(
        (await node.egress('status')).stdout,
        /^What pods send leaves as the node’s own when the ruleset is flushed/m,
      );
      assert.equal((await node.plugin('ADD', { pod })).code, 0, 'when it can again');
      assert.equal((await marking(node)).length, 1);
      assert.doesNotMatch((await node.egress('check')).stdout, /could not mark/);
      assert.doesNotMatch((await node.egress('status')).stdout, /flushed/);
    },
  );
}

test('a mark that somebody takes away is missed, and comes back', labTest, async () => {
  await using lab = await Lab.create();
  const node = await lab.node();
  const pod = await node.started('default');
  const [device = ''] = await marking(node);
  await node.machine.must(['tc', 'qdisc', 'del', 'dev', device, 'clsact']);
  assert.match(
    (await node.plugin('CHECK', { pod })).stdout,
    /mark 0x40003fff\/0x40003fff at ingress of veth\S+ is missing/,
  );
  assert.match((await node.egress('repair')).stdout, /Mended: mark 0x40003fff/);
  assert.equal((await node.plugin('CHECK', { pod })).stdout, '');
});
