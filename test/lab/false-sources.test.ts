import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, type Json, policy, primaries } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { describePacket } from '../support/packets.ts';
import type { Packet } from '../support/pcap.ts';
import type { Pod } from '../support/pod.ts';
import { tool } from '../support/tools.ts';
import { world } from '../support/world.ts';

/**
 * Pods with raw sockets, as Kubernetes gives them by default, send with any source address. `liar` and `victim` have
 * policies, `stranger` has none. Each lie is told to a destination port of its own, by which the captures know it.
 */
interface Pods {
  readonly liar: Pod;
  readonly victim: Pod;
  readonly stranger: Pod;
}

interface Lie {
  readonly what: string;
  readonly by: keyof Pods;
  readonly as: (pods: Pods, node: LabNode) => readonly [string, string];
  /** VLAN tags that its frames have. */
  readonly tags?: number;
}

const addressesOf = ({ addresses: [four = '', six = ''] }: Pod) => [four, six] as const;

const lies: readonly Lie[] = [
  { what: 'a pod with a policy, as another', by: 'liar', as: ({ victim }) => addressesOf(victim) },
  { what: 'a pod without a policy, as one that has', by: 'stranger', as: ({ victim }) => addressesOf(victim) },
  { what: 'a pod with a policy, as one without', by: 'liar', as: ({ stranger }) => addressesOf(stranger) },
  { what: 'a pod with a policy, as a free address', by: 'liar', as: () => ['10.0.0.77', 'fd00:10::77'] },
  { what: 'a pod with a policy, as the gateway of pods', by: 'liar', as: () => ['10.0.0.1', 'fd00:10::1'] },
  { what: 'a pod with a policy, as the node', by: 'liar', as: (_, node) => node.addresses('eth0') },
  { what: 'a pod with a policy, as the exit', by: 'liar', as: () => world.exitAddress },
  { what: 'a pod with a policy, as somebody outside', by: 'liar', as: () => ['198.51.100.7', '2001:db8:7::7'] },
  // A node takes all tags of VLAN 0 off. Chains at the pod's interface see no packet while there is more than one: with
  // cni-egress 0.1.0 such packets passed them, and left past exit and drop.
  { what: 'a pod to drop, as another behind a tag', by: 'victim', as: ({ liar }) => addressesOf(liar), tags: 1 },
  {
    what: 'a pod to drop, as a free address behind a tag',
    by: 'victim',
    as: () => ['10.0.0.77', 'fd00:10::77'],
    tags: 1,
  },
  {
    what: 'a pod to drop, as a free address behind tags',
    by: 'victim',
    as: () => ['10.0.0.77', 'fd00:10::77'],
    tags: 2,
  },
  { what: 'a pod to drop, as the exit behind tags', by: 'victim', as: () => world.exitAddress, tags: 3 },
  {
    what: 'a pod to drop, as somebody outside behind tags',
    by: 'victim',
    as: () => ['198.51.100.7', '2001:db8:7::7'],
    tags: 2,
  },
];

const policies = [
  ...policy.policies,
  { name: 'none', namespaces: ['closed'], destinations: world.outside, exit: 'drop' },
];

async function started(lab: Lab, primary: (typeof primaries)[number], filter: number, changes: Json = {}) {
  const node = await lab.node();
  await node.machine.sysctl({ 'net.ipv4.conf.all.rp_filter': 0, 'net.ipv4.conf.default.rp_filter': filter });
  await node.write({ primary, egress: egressEntry({ policies, ...changes }) });
  const liar = await node.started('default');
  const victim = await node.started('closed');
  const stranger = await node.started('other');
  if (primary === 'bridge') await node.machine.sysctl({ 'net.ipv4.conf.cni0.rp_filter': filter });
  return { node, pods: { liar, victim, stranger } };
}

/** Sends a packet from one address and port to another, with one of each family. */
async function forge(
  pod: Pod,
  sources: readonly string[],
  sport: number,
  targets: readonly string[],
  dport: number,
  tags = 0,
) {
  for (const [i, source] of sources.entries()) {
    const ends = [source, `${sport}`, targets[i] ?? '', `${dport}`];
    const { code, stderr } = await pod.run('forged.py', '10.0.0.1', ...ends, `${tags}`);
    assert.equal(code, 0, stderr);
  }
}

/** Sends a UDP packet from any address that is routed to this machine. */
const begins = `
import socket, sys
source, sport, destination, dport = sys.argv[1:5]
six = ":" in source
with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.setsockopt(*((socket.IPPROTO_IPV6, 78) if six else (socket.IPPROTO_IP, 15)), 1)  # IPV6_FREEBIND, IP_FREEBIND
    s.bind((source, int(sport)))
    s.sendto(b"begin", (destination, int(dport)))`;

const forgedOf = async (node: LabNode): Promise<number> =>
  JSON.parse((await node.egress('status', '--json')).stdout).forged.packets;

const toPort = (packets: readonly Packet[], port: number) =>
  packets.filter(({ destinationPort }) => destinationPort === port).map(describePacket);

for (const primary of primaries) {
  for (const filter of [0, 1, 2]) {
    describe(
      `after ${primary}, with rp_filter ${filter}, a packet with a source that is not the pod’s`,
      labTest,
      () => {
        test('does not leave, whoever says it of whom, and is counted', async () => {
          await using lab = await Lab.create();
          const { node, pods } = await started(lab, primary, filter);
          const capture = await node.capture();
          for (const [i, { by, as, tags }] of lies.entries()) {
            await forge(pods[by], as(pods, node), 40_000, world.service, 9000 + i, tags);
          }
          // The answer to this one comes after all of them.
          assert.deepEqual(await pods.liar.askEach('udp'), world.exitAddress);
          const packets = await capture.stop();
          const left = lies.map(({ what }, i) => [what, toPort(packets, 9000 + i)]);
          assert.deepEqual(
            left,
            lies.map(({ what }) => [what, []]),
          );
          const counted = await forgedOf(node);
          assert.ok(counted >= 2 * lies.length - (filter === 1 ? 2 : 0), `${counted} were counted`);
        });

        test('makes of no connection one that somebody outside has begun', async () => {
          await using lab = await Lab.create();
          const { node, pods } = await started(lab, primary, filter);
          const capture = await node.capture();
          // Each of the packets of the second kind would be an answer to the one of the first.
          await forge(pods.victim, world.service, 9100, pods.victim.addresses, 41_000);
          await forge(pods.victim, pods.victim.addresses, 41_000, world.service, 9100);
          await forge(pods.stranger, world.service, 9101, pods.victim.addresses, 41_001);
          await forge(pods.victim, pods.victim.addresses, 41_001, world.service, 9101);
          await forge(pods.liar, world.service, 9102, pods.liar.addresses, 41_002);
          await forge(pods.liar, pods.liar.addresses, 41_002, world.service, 9102);
          assert.deepEqual(await pods.liar.askEach('udp'), world.exitAddress);
          const packets = await capture.stop();
          assert.deepEqual([...toPort(packets, 9100), ...toPort(packets, 9101)], [], 'the policy says drop');
          const rightly = world.service.map((service, i) => `eth1 udp ${world.exitAddress[i]} > ${service} port 9102`);
          assert.deepEqual(toPort(packets, 9102), rightly);
        });
      },
    );
  }

  // Conntrack counts an ICMP error to the connection that it tells of: with cni-egress 0.1.0 it counted as a reply, which no
  // policy steers, and left past exit and drop with the pod's own address.
  test(
    `after ${primary}, a pod tells somebody outside of its own connections, and of nobody else’s`,
    labTest,
    async () => {
      await using lab = await Lab.create();
      const { node, pods } = await started(lab, primary, 0);
      await lab.front.host.ip('route add 10.0.0.0/16 via 172.18.0.5', 'route add fd00:10::/48 via fd00:172::5');
      const others = [node.addresses('eth0'), pods.liar.addresses, pods.stranger.addresses, pods.victim.addresses];
      const capture = await node.capture();
      for (const [i, addresses] of others.entries())
        for (const [family, address] of addresses.entries()) {
          const ends = [world.service[family] ?? '', `${9300 + i}`, address, '7000'];
          await lab.front.host.must([tool('python3'), '-c', begins, ...ends]);
          assert.equal((await pods.victim.run('icmp-error.py', ...ends)).code, 0);
        }
      assert.deepEqual(await pods.liar.askEach('udp'), world.exitAddress);
      const errors = (await capture.stop()).filter(({ protocol }) => protocol === 'icmp');
      const byVictim = errors.filter(({ source }) => pods.victim.addresses.includes(source)).map(describePacket);
      // The pod's kernel says the same of its own connection as the program does.
      const own = pods.victim.addresses.map((address, i) => `eth0 icmp ${address} > ${world.service[i]}`);
      assert.deepEqual(byVictim.toSorted(), [...own, ...own].toSorted());
      assert.equal(await forgedOf(node), 6);
    },
  );

  describe(`after ${primary}, a pod that does not lie`, labTest, () => {
    test('loses nothing: neighbours, DHCP, multicast, inbound connections, and addresses that it rightly has', async () => {
      await using lab = await Lab.create();
      const vip = ['192.0.2.77', '2001:db8:77::77'] as const;
      const extraSources = [{ namespaces: ['default'], addresses: ['192.0.2.64/26', '2001:db8:77::/48'] }];
      const { node, pods } = await started(lab, primary, 0, { extraSources });
      const { liar: pod, stranger } = pods;
      await pod.serve();
      await stranger.serve();
      for (const protocol of ['tcp', 'udp', 'icmp'] as const) {
        assert.deepEqual(await pod.askEach(protocol), protocol === 'icmp' ? ['reply', 'reply'] : world.exitAddress);
        assert.doesNotMatch((await pod.askedFrom(node.machine, protocol)).join(), /nothing/);
        assert.doesNotMatch((await pod.askedFrom(stranger.network, protocol)).join(), /nothing/);
        assert.doesNotMatch((await stranger.askedFrom(pod.network, protocol)).join(), /nothing/);
      }
      await pod.network.ip('neigh flush all', 'address add fe80::77/64 dev eth0');
      assert.deepEqual(await pod.askEach('tcp'), world.exitAddress);
      await forge(pod, ['0.0.0.0'], 68, ['255.255.255.255'], 67);
      await forge(pod, addressesOf(pod), 5353, ['224.0.0.251', 'ff02::fb'], 5353);
      const capture = await node.capture();
      await forge(pod, vip, 40_000, world.service, 9200);
      await forge(pod, addressesOf(pod), 40_000, world.service, 9201, 1);
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
      const packets = await capture.stop();
      assert.deepEqual(
        toPort(packets, 9200),
        vip.map((address, i) => `eth0 udp ${address} > ${world.service[i]} port 9200`),
      );
      assert.deepEqual(
        toPort(packets, 9201),
        world.exitAddress.map((address, i) => `eth1 udp ${address} > ${world.service[i]} port 9201`),
        'a tag of VLAN 0 says a priority, and nothing else',
      );
      assert.equal(await forgedOf(node), 0);
    });
  });
}

test('with checkSources off nothing stands at the interfaces of pods', labTest, async () => {
  await using lab = await Lab.create();
  const { node, pods } = await started(lab, 'bridge', 0, { checkSources: false });
  assert.deepEqual(await pods.liar.askEach('udp'), world.exitAddress);
  assert.doesNotMatch(await node.machine.must(['nft', 'list', 'ruleset']), /hook ingress/);
  assert.equal((await node.plugin('CHECK', { pod: pods.liar })).stdout, '');
});
