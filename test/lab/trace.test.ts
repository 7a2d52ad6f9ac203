import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Told } from '../../src/cli/trace.ts';
import { Cluster, internet } from '../support/cluster.ts';
import { until } from '../support/elected.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import type { Daemon } from '../support/run.ts';
import { snapshot } from '../support/snapshot.ts';
import { egressBinary } from '../support/tools.ts';
import { world } from '../support/world.ts';

const start = (node: LabNode, ...words: readonly string[]): Promise<Daemon> =>
  node.machine.start([egressBinary, 'trace', ...words], 'Waiting for packets');

/** What is told of a pod's packets, while the pod asks its services. */
async function traced(node: LabNode, pod: Pod, asked: string, destination: string): Promise<string> {
  const daemon = await start(node, asked, destination);
  await pod.askEach();
  await daemon.closed;
  return daemon.lines.join('\n');
}

interface Situation {
  readonly what: string;
  readonly happens: (node: LabNode, lab: Lab) => Promise<unknown>;
  /** The sentence about the packet, and what is said of what explain foretold. */
  readonly told: RegExp;
}

const situations: readonly Situation[] = [
  {
    what: 'nothing is wrong',
    happens: async () => undefined,
    told: /^It left by eth1 for exit "partners" with 192\.168\.0\.245, to next hop 192\.168\.0\.1\. So explain foretold it\.$/m,
  },
  {
    what: 'forwarding is off',
    happens: ({ machine }) => machine.sysctl({ 'net.ipv4.ip_forward': 0 }),
    told: /^It died here: net\.ipv4\.ip_forward is 0, so the node forwards nothing: set it to 1\. So explain foretold it\.$/m,
  },
  {
    what: 'the strict reverse path filter looks at marks',
    happens: ({ machine }) =>
      machine.sysctl({ 'net.ipv4.conf.cni0.rp_filter': 1, 'net.ipv4.conf.cni0.src_valid_mark': 1 }),
    told: /^It died here: with src_valid_mark the strict reverse path filter of cni0 drops what is for an exit/m,
  },
  {
    // As Docker Engine sets it (since 1.13), and one rule for other ways: no policy tells what becomes of the packet.
    what: 'FORWARD of iptables has the policy drop, and rules that do not accept it',
    happens: async ({ machine }) => {
      await machine.must('iptables -P FORWARD DROP'.split(' '));
      await machine.must('iptables -A FORWARD -i cni0 -o eth0 -j ACCEPT'.split(' '));
    },
    told: /^It died here: chain FORWARD of table ip filter dropped it at forward: its policy is drop, and no rule accepted it\. Explain foretold otherwise: it leaves by .*, unless chain FORWARD of table ip filter drops it/m,
  },
  {
    what: 'a rule of somebody’s firewall drops it, which explain does not judge',
    happens: (node) =>
      nft(
        node,
        'add table inet fw',
        'add chain inet fw ways { type filter hook forward priority 10; }',
        'add rule inet fw ways counter',
        'add rule inet fw ways ip daddr 203.0.113.0/24 drop',
      ),
    told: /^It died here: chain ways of table inet fw dropped it at forward: rule 2 \(nft -a list chain inet fw ways, handle \d+\)\. Explain foretold otherwise: it leaves by /m,
  },
  {
    what: 'a masquerade of somebody else comes before ours',
    happens: (node) =>
      nft(
        node,
        'add table inet fw',
        'add chain inet fw out { type nat hook postrouting priority 90; }',
        'add rule inet fw out masquerade',
      ),
    told: /^It died here: chain judge of table inet cni-egress dropped it at postrouting: rule \d+ /m,
  },
  {
    what: 'the next hop is gone',
    happens: async ({ machine }, lab) => {
      await lab.back.host.ip('link set eth0 down');
      await machine.ip('neigh flush dev eth1');
    },
    told: /^It died here: it was to leave by eth1 for exit "partners" with 192\.168\.0\.245, and next hop 192\.168\.0\.1 does not answer \((incomplete|failed)\)\. /m,
  },
];

describe('egress trace tells where a packet went or died when', { ...labTest, concurrency: 2 }, () => {
  for (const { what, happens, told } of situations) {
    test(what, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      const pod = await node.started();
      await happens(node, lab);
      assert.match(await traced(node, pod, `default/${pod.name}`, 'tcp/203.0.113.9:8080'), told);
    });
  }
});

describe('egress trace', labTest, () => {
  test('shows each stop with what explain foretold beside it, of IPv6 alike, and the answer', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const text = await traced(node, pod, pod.addresses[1] ?? '', `tcp/[${world.service[1]}]:8080`);
    assert.match(text, /^ {2}prerouting -90 +classify +rule \d: ip6 saddr vmap @pods6 → goto program-/m);
    assert.match(text, /^ {2}prerouting -90 +program-\S+ +rule \d: ip6 daddr .* → goto exit-\d+ +foretold$/m);
    assert.match(text, /^ {2}postrouting 95 +translate +rule \d+: snat ip6 .* → accept$/m);
    assert.match(text, /^It left by eth1 for exit "partners" with fd00:168::245, to next hop fd00:168::1\./m);
    assert.match(text, /^Answer 2001:db8::9 → fd00:168::245$/m);
    assert.match(text, /^The answer went on to the pod by cni0\.$/m);
  });

  test('shows that a later packet of a connection is not decided about again', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const sender = await pod.send(world.service[0]);
    const rules = async () => {
      const { stdout } = await node.egress('trace', `default/${pod.name}`, world.service[0], '--seconds', '20');
      return [...stdout.matchAll(/^ {2}prerouting -90 +program-\S+ +rule \d+: (.*?) →/gm)].map(([, rule]) => rule);
    };
    await until(async () => (await rules()).join() === 'ct label … goto exit-14454');
    await sender.stop();
  });

  test('prints the same as JSON, and ends with 0 when all left, with 1 when not', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const run = async () => {
      const outcome = node.egress('trace', `default/${pod.name}`, '203.0.113.9', '--json', '--seconds', '10');
      const sender = await pod.send(world.service[0]);
      const ended = await outcome;
      await sender.stop();
      return ended;
    };
    const good = await run();
    const [first] = JSON.parse(good.stdout) as readonly Told[];
    assert.deepEqual([good.code, first?.direction, first?.left], [0, 'packet', true]);
    await node.machine.sysctl({ 'net.ipv4.ip_forward': 0 });
    const bad = await run();
    assert.deepEqual([bad.code, (JSON.parse(bad.stdout) as readonly Told[])[0]?.left], [1, false]);
  });

  test('leaves nothing behind, however it ends, and the node as it was', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.started();
    const before = await snapshot(node);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
      const daemon = await start(node, '10.0.0.2', '203.0.113.9');
      const [, table = ''] =
        /^table (inet cni-egress-trace-[0-9a-f]+)$/m.exec(await node.machine.must(['nft', 'list', 'tables'])) ?? [];
      const listed = await node.machine.must(['nft', 'list', 'table', ...table.split(' ')]);
      assert.match(listed, /ip saddr 10\.0\.0\.2 ip daddr 203\.0\.113\.9 limit rate 10\/second.* meta nftrace set 1/);
      assert.match(
        listed,
        /ct direction reply ct original ip saddr 10\.0\.0\.2 ct original ip daddr 203\.0\.113\.9 limit .* meta nftrace set 1/,
      );
      await daemon.stop(signal);
      assert.equal(await snapshot(node), before, signal);
    }
  });

  test('says so when nothing came', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const { code, stdout } = await node.egress('trace', `default/${pod.name}`, '203.0.113.9', '--seconds', '1');
    assert.equal(code, 1);
    assert.match(stdout, /^No packet of default\/\S+ 10\.0\.0\.\d+ to there came to this node’s prerouting\./);
  });

  test('follows a packet into the tunnel, and on its gateway by the pod’s address out of it', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    await cluster.up();
    const [[gateway], [worker]] = [cluster.gateways, cluster.workers];
    assert.ok(gateway && worker);
    const pod = await worker.started();
    const there = await start(gateway, pod.addresses[0] ?? '', '203.0.113.9');
    const here = await traced(worker, pod, `default/${pod.name}`, '203.0.113.9');
    assert.match(here, /^It went into the tunnel to gateway 172\.18\.0\.3 by egress0 for exit "internet": ask there /m);
    await there.closed;
    const [address] = internet.addresses;
    assert.match(there.lines.join('\n'), new RegExp(`^It left by eth0 for exit "internet" with ${address}, to `, 'm'));
  });
});
