import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { egressEntry, type Json, partners, policy } from '../support/chain.ts';
import { Cluster, internet, internetPolicy, replyPaths } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import { world } from '../support/world.ts';

/**
 * Others write to the whole mark of packets, somewhere between our hooks: kube-router before 1.1 reset it in FORWARD for
 * every pod with a network policy (cloudnativelabs/kube-router#992), AWS VPC CNI 1.23.0 in PREROUTING
 * (aws/amazon-vpc-cni-k8s#3872).
 */
interface Place {
  readonly what: string;
  /** Commands that write a mark there, and what takes them back. */
  readonly writing: (mark: string) => readonly string[];
  readonly undoing?: readonly string[];
}

const inNft = (hook: string, priority: number): Place => ({
  what: `a chain of nftables at ${hook} ${priority}`,
  writing: (mark) => [
    `nft add table inet other`,
    `nft add chain inet other marks { type filter hook ${hook} priority ${priority} ; }`,
    `nft add rule inet other marks meta mark set ${mark}`,
  ],
  undoing: ['nft delete table inet other'],
});

const inIptables = (table: string, chain: string): Place => ({
  what: `${chain} of the table ${table} of iptables`,
  writing: (mark) =>
    ['iptables', 'ip6tables'].map((command) => `${command} -t ${table} -I ${chain} -j MARK --set-mark ${mark}`),
  undoing: ['iptables', 'ip6tables'].map((command) => `${command} -t ${table} -D ${chain} 1`),
});

const places: readonly Place[] = [
  inNft('prerouting', -89),
  inNft('prerouting', -50),
  inNft('forward', 0),
  inIptables('filter', 'FORWARD'),
  inIptables('mangle', 'POSTROUTING'),
  ...[94, 98, 99, 120, 200, 300].map((priority) => inNft('postrouting', priority)),
];

/** An exit that leaves by the same interface, with other addresses. */
const others = { ...partners, name: 'others', addresses: ['192.168.0.246', 'fd00:168::246'] };

describe('while another program writes whole marks in', labTest, () => {
  for (const place of places) {
    test(`${place.what}, packets leave right or not at all, by every protocol, on new and old connections`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await node.machine.ip(...others.addresses.map((address) => `address add ${address} dev eth1`));
      const policies = [...policy.policies, { name: 'others', namespaces: ['other'], exit: 'others' }];
      await node.write({ egress: egressEntry({ exits: [partners, others], policies }) });
      const pod = await node.started();
      await node.started('other');
      const capture = await node.capture();
      const sender = await pod.send(...world.service);
      for (const mark of await wrongMarks(node, 'others')) await whileWritten(node, place, mark);
      await sender.stop();
      assert.deepEqual(leaks(await capture.stop()), []);
      assert.deepEqual(await pod.askEach('udp'), world.exitAddress, 'nothing is left of it');
    });
  }

  test('FORWARD, which takes no other way, all goes on: what lost its mark gets it back, and is told', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const before = await statusOf(node);
    await write(node, inIptables('filter', 'FORWARD'), '0x0');
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.deepEqual(await pod.askEach('tcp'), world.exitAddress);
    const { unmarked, exits } = await statusOf(node);
    assert.ok(unmarked.packets >= before.unmarked.packets + 4);
    assert.equal(exits[0].steered.packets, exits[0].left.packets, 'none is counted twice');
    assert.match((await node.egress('check')).stdout, /warning: another program takes our mark from packets/);
    assert.match((await node.egress('status')).stdout, /Found without our mark/);
  });

  test('prerouting, what took another way is dropped, and counted', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const before = await statusOf(node);
    await write(node, inNft('prerouting', -50), '0x0');
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    assert.equal((await statusOf(node)).guarded.packets - before.guarded.packets, 2);
  });
});

for (const replyPath of replyPaths) {
  describe(`with the reply path "${replyPath}", while another program writes whole marks`, labTest, () => {
    const elsewhere = { ...internet, name: 'elsewhere', addresses: ['172.18.0.34', 'fd00:172::34'] };

    async function started(lab: Lab) {
      const cluster = await Cluster.create(lab, { replyPath });
      const gateways = cluster.gateways.map((node) => cluster.end(node));
      const toElsewhere = { ...internetPolicy, name: 'elsewhere', namespaces: ['other'], exit: 'elsewhere' };
      await cluster.policy({
        exits: [
          { ...internet, gateways },
          { ...elsewhere, gateways },
        ],
        policies: [internetPolicy, toElsewhere],
      } as Json);
      await cluster.up();
      const [worker] = cluster.workers;
      const [gateway] = cluster.gateways;
      assert.ok(worker && gateway);
      const pod = await worker.started();
      await worker.started('other');
      assert.deepEqual(await pod.askEach('udp'), internet.addresses);
      return { cluster, worker, gateway, pod };
    }

    for (const place of [inNft('prerouting', -50), inNft('forward', 0), inNft('postrouting', 120)]) {
      test(`on a pod's node in ${place.what}, nothing leaves with another source than its exit's`, async () => {
        await using lab = await Lab.create();
        const { cluster, worker, pod } = await started(lab);
        const stop = await cluster.capture();
        const sender = await pod.send(...world.service);
        for (const mark of await wrongMarks(worker, 'elsewhere')) await whileWritten(worker, place, mark);
        await sender.stop();
        assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
        assert.deepEqual(await pod.askEach('udp'), internet.addresses, 'nothing is left of it');
      });

      test(`on the gateway in ${place.what}, nothing leaves with another source than its exit's`, async () => {
        await using lab = await Lab.create();
        const { cluster, gateway, pod } = await started(lab);
        const stop = await cluster.capture();
        const sender = await pod.send(...world.service);
        const [zero, ones, , bit] = await wrongMarks(gateway, 'elsewhere');
        for (const mark of [zero, ones, bit]) await whileWritten(gateway, place, `${mark}`);
        await sender.stop();
        assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
        assert.deepEqual(await pod.askEach('udp'), internet.addresses, 'nothing is left of it');
      });
    }
  });
}

/** Nothing, everything, our bit with the id of another exit, and our bit alone. */
async function wrongMarks(node: LabNode, other: string): Promise<readonly string[]> {
  const { exits } = await statusOf(node);
  const { id } = exits.find(({ name }: { name: string }) => name === other);
  const rules = await node.machine.must(['ip', 'rule', 'list', 'priority', '700']);
  const bit = Number(/not from all fwmark (0x[0-9a-f]+)\//.exec(rules)?.[1]);
  return ['0x0', '0xffffffff', `0x${((bit | id) >>> 0).toString(16)}`, `0x${bit.toString(16)}`];
}

const write = async (node: LabNode, { writing }: Place, mark: string): Promise<void> => {
  for (const command of writing(mark)) await node.machine.must(command.split(' '));
};

/** A place that writes a mark for as long as it takes until a hundred packets have come that way. */
async function whileWritten(node: LabNode, place: Place, mark: string): Promise<void> {
  const packets = async () => {
    const listed = await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'pods4']);
    return Number(/counter packets (\d+)/.exec(listed)?.[1]);
  };
  await write(node, place, mark);
  const before = await packets();
  for (let tries = 0; tries < 100 && (await packets()) < before + 100; tries++) await setTimeout(20);
  for (const command of place.undoing ?? []) await node.machine.must(command.split(' '));
}

const statusOf = async (node: LabNode) => JSON.parse((await node.egress('status', '--json')).stdout);
