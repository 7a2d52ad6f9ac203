import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { egressEntry, partners, primaries } from '../support/chain.ts';
import { assertLeavesNothing, del, situations } from '../support/deletion.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

for (const primary of primaries) {
  describe(`after the last DEL, which follows ${primary}, the node is as before the first ADD,`, labTest, () => {
    for (const situation of situations) {
      test(`when ${situation.when}`, async () => {
        await using lab = await Lab.create();
        const node = await settledNode(lab, primary);
        const before = await snapshot(node);
        const pod = await node.started();
        assert.equal(await pod.ask('tcp', world.service[0]), world.exitAddress[0]);
        await assertLeavesNothing(node, pod, before, situation);
      });
    }
  });
}

describe('DEL', labTest, () => {
  test('of the last pod that leaves by an interface takes what counts there, and nothing else', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    const front = { name: 'front', interface: 'eth0', nextHop: world.front.gateway };
    const policies = [partners, front].map(({ name }) => ({ name, namespaces: [name], exit: name }));
    await node.write({ egress: egressEntry({ exits: [partners, front], policies }) });
    const pods = [await node.started('partners'), await node.started('partners'), await node.started('front')];
    const counting: (readonly string[])[] = [];
    for (const pod of pods) {
      await del(node, pod);
      const chains = await node.machine.must(['nft', 'list', 'chains', 'netdev']);
      counting.push(chains.match(/sent-\w+/g) ?? []);
      assert.equal((await node.egress('check')).code, 0);
    }
    assert.deepEqual(counting, [['sent-eth1', 'sent-eth0'], ['sent-eth0'], []]);
    await node.withoutEgress(() => Promise.all(pods.map((pod) => node.end(pod))));
    assertUnchanged(before, await snapshot(node));
  });

  test('after an ADD that failed takes down nothing, and does not fail', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    await node.write({ egress: egressEntry({ exits: [{ ...partners, interface: 'eth9' }] }) });
    const pod = await node.pod();
    await assert.rejects(node.add(pod), /eth9/);
    assert.deepEqual(await node.records(), ['lock']);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('of an attachment that was never added does not fail', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    await del(node, await node.pod());
    assertUnchanged(before, await snapshot(node));
  });

  test('leaves another pod all that it needs', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    const [first, second] = [await node.started(), await node.started()];
    await node.end(first);
    assert.equal((await node.plugin('CHECK', { pod: second })).code, 0);
    assert.deepEqual(await second.askEach(), world.exitAddress);
    await node.end(second);
    assertUnchanged(before, await snapshot(node));
  });

  for (const namespace of ['default', 'other']) {
    test(`that comes late leaves all to a pod of namespace ${namespace} that got the same address`, async () => {
      await using lab = await Lab.create();
      const node = await settledNode(lab);
      await node.write({ ranges: ['10.0.0.50', 'fd00:10::50'].map(oneAddress) });
      const before = await snapshot(node);
      const first = await node.started();
      await node.withoutEgress(() => node.end(first));
      const second = await node.started(namespace);
      assert.deepEqual(second.addresses, first.addresses);
      await del(node, first);
      assert.deepEqual(await second.askEach(), namespace === 'default' ? world.exitAddress : node.addresses('eth0'));
      assert.equal((await node.plugin('CHECK', { pod: second })).code, 0);
      await node.end(second);
      assertUnchanged(before, await snapshot(node));
      assert.deepEqual(await node.records(), ['lock']);
    });
  }

  test('deletes the connections of the pod from connection tracking, and those of no other', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [first, second] = [await node.started(), await node.started()];
    await Promise.all([first, second].map((pod) => pod.askEach()));
    assert.equal(await connections(node, first), 2);
    await del(node, first);
    assert.equal(await connections(node, first), 0);
    assert.equal(await connections(node, second), 2);
  });

  test('takes all down while its data folder is read-only, and the record is gone with the next', async () => {
    await using lab = await Lab.create();
    const node = await settledNode(lab);
    const before = await snapshot(node);
    const [pod, other] = [await node.started(), await node.started()];
    const folder = '/var/lib/cni/egress';
    await node.machine.must(['mount', '--bind', folder, folder]);
    await node.machine.must(['mount', '-o', 'remount,ro,bind', folder]);
    for (const each of [pod, other]) await del(node, each);
    assert.doesNotMatch(await node.machine.must(['nft', 'list', 'tables']), /cni-egress/);
    await node.machine.must(['umount', folder]);
    for (const each of [pod, other]) await del(node, each);
    await node.withoutEgress(() => Promise.all([pod, other].map((each) => node.end(each))));
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
  });

  for (const [what, config] of [
    ['and the runtime knows the pod’s', {}],
    ['and the runtime says nothing', { prevResult: undefined }],
  ] as const) {
    test(`leaves alone what is not the pod’s, when its record names the node’s interface and address, ${what}`, async () => {
      await using lab = await Lab.create();
      const node = await settledNode(lab);
      const pod = await node.started();
      const [file] = await readdir(node.state('egress/attachments'));
      const path = node.state(`egress/attachments/${file}`);
      const record = JSON.parse(await readFile(path, 'utf8'));
      const [address = ''] = node.addresses('eth0');
      const flow = `-p udp -s ${address} -d ${world.front.gateway[0]} --sport 1000 --dport 2000 --timeout 600`;
      await node.machine.must(['conntrack', '-I', ...flow.split(' ')]);
      const links = JSON.parse(await node.machine.must(['ip', '-j', 'link', 'show', 'dev', 'eth0']));
      const wrong = { links: [{ name: 'eth0', index: links[0].ifindex }], addresses: [address] };
      await writeFile(path, JSON.stringify({ ...record, ...wrong }));
      const own = ['conntrack', '-L', '-p', 'udp', '--orig-src', address];
      const known = async () => (await node.machine.must(own)).split('\n').filter(Boolean).length;
      assert.equal(await known(), 1);
      await del(node, pod, { config });
      assert.equal(await known(), 1);
      assert.match(await node.machine.must(['ip', 'link', 'show', 'dev', 'eth0']), /[<,]UP[,>]/);
    });
  }

  test('gives back the reverse path filter only when nobody changed it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    await node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 0 });
    await node.end(pod);
    assert.equal((await node.machine.must(['sysctl', '-n', 'net.ipv4.conf.eth1.rp_filter'])).trim(), '0');
  });
});

async function settledNode(lab: Lab, primary: (typeof primaries)[number] = 'bridge'): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ primary });
  await node.settle();
  return node;
}

const oneAddress = (address: string) => {
  const subnet = address.includes(':') ? 'fd00:10::/64' : '10.0.0.0/24';
  return { subnet, rangeStart: address, rangeEnd: address };
};

/** How many connections of the pod the node knows. */
async function connections({ machine }: LabNode, { addresses }: Pod): Promise<number> {
  const lists = addresses.map((address) => {
    const family = address.includes(':') ? 'ipv6' : 'ipv4';
    return machine.run(['conntrack', '-L', '-f', family, '--orig-src', address]);
  });
  return (await Promise.all(lists)).reduce((sum, { stdout }) => sum + stdout.split('\n').length - 1, 0);
}
