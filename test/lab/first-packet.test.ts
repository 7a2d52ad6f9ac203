import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, primaries } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { describePacket, leaks, packetsTo } from '../support/packets.ts';
import { protocols, sentMore } from '../support/pod.ts';
import { world } from '../support/world.ts';

/** What a pod's first packet to each service of the world has to look like from outside. */
const firstPackets = protocols.flatMap((protocol) =>
  world.service.map((service, i) => ({ protocol, service, source: world.exitAddress[i] })),
);

for (const primary of primaries) {
  describe(`after ${primary}`, labTest, () => {
    for (const { protocol, service, source } of firstPackets) {
      test(`the first packet of a pod, ${protocol} to ${service}, has the address and the interface of the exit`, async () => {
        await using lab = await Lab.create();
        const node = await lab.node();
        await node.write({ primary });
        const capture = await node.capture();
        const pod = await node.started();
        const answer = await pod.ask(protocol, service);
        const [first] = packetsTo(await capture.stop(), service);
        assert.ok(first, 'no packet left the node');
        assert.deepEqual([first.interface, first.source, first.protocol], ['eth1', source, protocol]);
        assert.equal(answer, protocol === 'icmp' ? 'reply' : source);
      });
    }

    test('of a pod that sends from ADD until after DEL, no packet leaves with another source', async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.write({ primary });
      const capture = await node.capture();
      const pod = await node.started();
      await assertHostileSurroundings(node);
      const sender = await pod.send(...world.service);
      await sentMore(sender);
      await node.del(pod);
      await sentMore(sender);
      await sender.stop();
      const packets = await capture.stop();
      assert.deepEqual(leaks(packets), []);
      const ofPod = packets.filter(({ ownReset }) => !ownReset);
      const kinds = new Set(packetsTo(ofPod, ...world.service).map(describePacket));
      assert.deepEqual([...kinds].sort(), everythingThatIsSent());
    });

    test('packets that belong to no connection, which NAT never touches, do not leave with the address of the pod', async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.write({ primary });
      await countInvalid(node);
      const capture = await node.capture();
      const pod = await node.started();
      await pod.run('stray.py', ...world.service);
      assert.equal(await invalidPackets(node), 6, 'connection tracking has to call all of them invalid');
      assert.deepEqual(leaks(await capture.stop()), []);
      const { guarded } = JSON.parse((await node.egress('status', '--json')).stdout);
      assert.equal(guarded.packets, 6);
    });
  });
}

describe('without egress in the chain', labTest, () => {
  test('the same packets leave with the address of the node and of the pod: the lab sees leaks', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({ egress: undefined });
    const capture = await node.capture();
    const pod = await node.started();
    await pod.ask('udp', world.service[0]);
    await pod.run('stray.py', ...world.service);
    const [byNode, ...strays] = leaks(await capture.stop());
    assert.equal(byNode, 'eth0 udp 172.18.0.5 > 203.0.113.9 port 8080 (1 times)');
    assert.equal(strays.length, 4);
    assert.ok(strays.every((line) => pod.addresses.some((address) => line.includes(` ${address} > `))));
  });
});

describe('an address of the exit', labTest, () => {
  test('is that of its interface when the exit names none', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const exits = [{ name: 'partners', interface: 'eth1', nextHop: world.back.gateway }];
    await node.write({ egress: egressEntry({ exits }) });
    const pod = await node.started();
    assert.deepEqual(await pod.askEach(), node.addresses('eth1'));
  });
});

/** The primary plugin masquerades, and reverse path filtering is strict on every interface but the exit's own. */
async function assertHostileSurroundings({ machine }: LabNode): Promise<void> {
  for (const command of ['iptables-save', 'ip6tables-save']) {
    assert.match(await machine.must([command, '-t', 'nat']), /-j MASQUERADE/);
  }
  const filters = await machine.must(['sysctl', '-a', '-r', '^net\\.ipv4\\.conf\\..*\\.rp_filter']);
  const loose = filters.split('\n').filter((line) => line !== '' && !line.endsWith(' = 1'));
  assert.deepEqual(loose, ['net.ipv4.conf.eth1.rp_filter = 2']);
}

/** Every kind of packet that programs/send.py makes, as it has to leave. */
function everythingThatIsSent(): readonly string[] {
  const kinds = ['icmp', 'tcp 8080', 'tcp 8081', 'udp 9'].map((kind) => kind.split(' '));
  const lines = world.service.flatMap((service, i) =>
    kinds.map(([protocol, port]) => {
      const line = `eth1 ${protocol} ${world.exitAddress[i]} > ${service}`;
      return port === undefined ? line : `${line} port ${port}`;
    }),
  );
  return lines.sort();
}

/** Counts packets that connection tracking finds invalid, in a table that has nothing to do with egress. */
async function countInvalid({ machine }: LabNode): Promise<void> {
  const chain =
    'chain prerouting { type filter hook prerouting priority -80; iifname != "eth*" ct state invalid counter; }';
  await machine.must(['nft', '-f', '-'], { stdin: `table inet witness {\n${chain}\n}` });
}

async function invalidPackets({ machine }: LabNode): Promise<number> {
  return Number(/counter packets (\d+)/.exec(await machine.must(['nft', 'list', 'table', 'inet', 'witness']))?.[1]);
}
