import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Explanation } from '../../src/report/explain.ts';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { world } from '../support/world.ts';

/** What an administrator, or a program of theirs, does to a node on which all of egress is as it should be. */
interface Situation {
  readonly what: string;
  readonly happens: (node: LabNode) => Promise<unknown>;
  /** What explain says of an IPv4 and an IPv6 packet of the pod, and whether each gets an answer. */
  readonly said: readonly [RegExp, RegExp];
  readonly answered: readonly [boolean, boolean];
  /** What CHECK says; without it CHECK is content, since nobody judges rules there. */
  readonly checked?: RegExp;
  /** What `egress check` says beside what CHECK does. */
  readonly node?: RegExp;
}

const leaves = /leaves by exit "partners" \(eth1, next hop [^)]*\) with [0-9a-f.:]+\.$/;
const iptables = (node: LabNode, ...words: readonly string[]) => node.machine.must(['iptables', ...words]);

const situations: readonly Situation[] = [
  {
    what: 'IPv4 forwarding is off on the whole node',
    happens: ({ machine }) => machine.sysctl({ 'net.ipv4.ip_forward': 0 }),
    said: [/is dropped: net\.ipv4\.ip_forward is 0/, leaves],
    answered: [false, true],
    checked: /net\.ipv4\.ip_forward is 0, so the node forwards nothing: set it to 1/,
  },
  {
    what: 'IPv6 forwarding is off on the whole node',
    happens: ({ machine }) => machine.sysctl({ 'net.ipv6.conf.all.forwarding': 0 }),
    said: [leaves, /is dropped: net\.ipv6\.conf\.all\.forwarding is 0/],
    answered: [true, false],
    checked: /net\.ipv6\.conf\.all\.forwarding is 0, so the node forwards nothing/,
  },
  {
    what: 'forwarding is off for the interface of the pods',
    happens: ({ machine }) => machine.sysctl({ 'net.ipv4.conf.cni0.forwarding': 0 }),
    said: [/is dropped: net\/ipv4\/conf\/cni0\/forwarding is 0/, leaves],
    answered: [false, true],
    checked: /net\/ipv4\/conf\/cni0\/forwarding is 0/,
  },
  {
    what: 'forwarding is off for the interface of the exit, so that answers stay there',
    happens: ({ machine }) => machine.sysctl({ 'net.ipv4.conf.eth1.forwarding': 0 }),
    said: [/leaves by .*; its answers are dropped: net\/ipv4\/conf\/eth1\/forwarding is 0/, leaves],
    answered: [false, true],
    checked: /net\/ipv4\/conf\/eth1\/forwarding is 0/,
  },
  {
    what: 'the strict reverse path filter of the pods’ interface looks at marks',
    happens: ({ machine }) =>
      machine.sysctl({ 'net.ipv4.conf.cni0.rp_filter': 1, 'net.ipv4.conf.cni0.src_valid_mark': 1 }),
    said: [/is dropped: with src_valid_mark the strict reverse path filter of cni0/, leaves],
    answered: [false, true],
    checked: /with src_valid_mark the strict reverse path filter of cni0/,
  },
  {
    what: 'somebody makes the reverse path filter of the exit’s interface strict again',
    happens: ({ machine }) => machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 1 }),
    said: [/leaves by .*; its answers are dropped: net\/ipv4\/conf\/eth1\/rp_filter is 1, expected 2/, leaves],
    answered: [false, true],
    checked: /sysctl net\/ipv4\/conf\/eth1\/rp_filter is 1, expected 2/,
  },
  {
    // As Docker Engine sets it (since 1.13), and one rule of somebody for other ways.
    what: 'FORWARD of iptables has the policy drop, and rules that may accept the packet',
    happens: async (node) => {
      await iptables(node, '-P', 'FORWARD', 'DROP');
      await iptables(node, '-A', 'FORWARD', '-i', 'cni0', '-o', 'eth0', '-j', 'ACCEPT');
    },
    said: [/ with [0-9.]+, unless chain FORWARD of table ip filter drops it \(policy drop\)\.$/, leaves],
    answered: [false, true],
    node: /^warning: chain FORWARD of table ip filter has the policy drop/m,
  },
  {
    what: 'a base chain of nftables drops all that is forwarded',
    happens: (node) =>
      nft(
        node,
        'add table inet fw',
        'add chain inet fw everything { type filter hook forward priority 10; policy drop; }',
      ),
    said: [
      /is dropped: chain everything of table inet fw drops everything/,
      /is dropped: chain everything of table inet fw/,
    ],
    answered: [false, false],
    node: /^node: chain everything of table inet fw drops all that pods send by exits/m,
  },
];

// Most of these only wait for answers that do not come.
describe('egress tells what happens, and not what egress alone would do, when', { ...labTest, concurrency: 4 }, () => {
  for (const { what, happens, said, answered, checked, node: ofNode } of situations) {
    test(what, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      await assertTold(node, pod, { said: [leaves, leaves], answered: [true, true] });
      await happens(node);
      await assertTold(node, pod, { said, answered });
      const { code, json } = await node.plugin('CHECK', { pod });
      assert.equal(code !== 0, checked !== undefined, JSON.stringify(json));
      if (checked) assert.match((json as { details: string }).details, checked);
      const { stdout } = await node.egress('check');
      assert.match(stdout, checked ?? ofNode ?? /^$/);
    });
  }

  test('the interface gets other addresses, by DHCP or a change of prefix, and the exit took its own from there', async () => {
    await using lab = await Lab.create();
    const node = await lab.node(5, []);
    const { addresses: _, ...own } = partners;
    await node.write({ egress: egressEntry({ exits: [own] }) });
    const pod = await node.started();
    const [four, six] = node.addresses('eth1');
    await assertTold(node, pod, { said: [leaves, leaves], answered: [true, true] });
    await node.machine.sysctl({ 'net.ipv4.conf.eth1.promote_secondaries': 1 });
    await node.machine.ip('address add 192.168.0.50/24 dev eth1', `address delete ${four}/24 dev eth1`);
    await node.machine.ip('address add fd00:168::50/64 dev eth1 nodad', `address delete ${six}/64 dev eth1`);
    const lost = (address: string) =>
      new RegExp(`exit "partners" drops what is to leave with ${address}: ${address} is not an address of this node`);
    const { json } = await node.plugin('CHECK', { pod });
    for (const address of [four, six]) {
      assert.match((json as { details: string }).details, lost(address));
      assert.match((await node.egress('check')).stdout, lost(address));
    }
    const gone = /is dropped: [0-9a-f.:]+ is not an address of this node\.$/;
    assert.deepEqual(await pod.askEach(), ['nothing', 'nothing']);
    for (const sentence of await sentences(node, pod)) assert.match(sentence, gone);
    await node.started(); // what the message says mends it
    assert.equal((await node.plugin('CHECK', { pod })).code, 0);
    assert.deepEqual(await pod.askEach(), ['192.168.0.50', 'fd00:168::50']);
  });

  test('somebody changes the MAC address of a gateway’s tunnel device, or what it forwards', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const [gateway, worker] = [cluster.gateways[0] ?? assert.fail(), cluster.workers[0] ?? assert.fail()];
    const pod = await worker.started();
    const content = await gateway.egress('check');
    assert.deepEqual([content.code, content.stdout.includes('is a gateway, and as it should be')], [0, true]);
    await gateway.machine.ip('link set egress0 address 02:e6:00:00:00:01');
    const changed = await gateway.egress('check');
    assert.equal(changed.code, 1);
    assert.match(changed.stdout, /^gateway: tunnel device egress0: MAC address is 02:e6:00:00:00:01, expected/m);
    assert.deepEqual(await pod.askEach(), ['nothing', 'nothing']);
    await cluster.up(gateway);
    await gateway.machine.sysctl({ 'net.ipv4.conf.egress0.forwarding': 0 });
    assert.match((await gateway.egress('check')).stdout, /^gateway: net\/ipv4\/conf\/egress0\/forwarding is 0/m);
    // What the pod's node cannot know it does not promise.
    const [sentence = ''] = await sentences(worker, pod);
    assert.match(sentence, /\(egress0, to gateway 172\.18\.0\.3\), which is to give it 172\.18\.0\.33\.$/);
  });
});

async function sentences(node: LabNode, pod: Pod): Promise<string[]> {
  const packets = world.service.map((service) => `tcp/${service.includes(':') ? `[${service}]` : service}:8080`);
  const { stdout, stderr } = await node.egress('explain', pod.addresses[0] ?? '', ...packets, '--json');
  assert.equal(stderr, '');
  return (JSON.parse(stdout) as readonly Explanation[]).map(({ sentence }) => sentence);
}

async function assertTold(node: LabNode, pod: Pod, { said, answered }: Pick<Situation, 'said' | 'answered'>) {
  const told = await sentences(node, pod);
  for (const [i, words] of said.entries()) assert.match(told[i] ?? '', words);
  const answers = await pod.askEach();
  assert.deepEqual(
    answers.map((answer) => answer !== 'nothing'),
    answered,
    answers.join(),
  );
}
