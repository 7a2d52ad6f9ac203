import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { egressEntry, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { stopped, waiting } from '../support/stopped.ts';
import { world } from '../support/world.ts';

const four = world.service[0];
/** Has all parameters of its interface changed that egress ever changes, on a node without a default route. */
const exit = { ...partners, onUnavailable: 'node' };
const entry = (changes = {}) => egressEntry({ exits: [exit], ...changes });

/** What an administrator may have set of an interface, and egress changes. */
async function parameters({ machine }: LabNode, device = 'eth1'): Promise<string> {
  const names = `^net\\.ipv[46]\\.conf\\.${device}\\.(rp_filter|src_valid_mark|ignore_routes_with_linkdown)`;
  return (await machine.must(['sysctl', '-a', '-r', names])).replaceAll(`.${device}.`, '.device.');
}

/** A node whose interfaces filter strictly, each by itself. */
async function strictNode(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ egress: entry() });
  await node.settle();
  await node.machine.sysctl({ 'net.ipv4.conf.all.rp_filter': 0 });
  return node;
}

/** And of which IPv4 has no way out but by the exit. */
async function isolatedNode(lab: Lab): Promise<LabNode> {
  const node = await strictNode(lab);
  await node.machine.ip(`route delete default via ${world.front.gateway[0]}`);
  return node;
}

const loseRecord = (node: LabNode) => rm(node.state('egress/node.json'));

/** A second installation with a data folder of its own, for pods of another network, that leaves by the same interface. */
async function writeOther(node: LabNode, changes = {}): Promise<void> {
  await node.write({
    ...{ name: 'other', bridge: 'cni1', ranges: [{ subnet: '10.0.1.0/24' }, { subnet: 'fd00:10:0:1::/64' }] },
    egress: entry({ dataDir: '/var/lib/cni/other', ...changes }),
  });
  await node.settle('other');
}

async function rename({ machine }: LabNode, from: string, to: string): Promise<void> {
  await machine.sysctl({ [`net.ipv6.conf.${from}.keep_addr_on_down`]: 1 });
  await machine.ip(`link set ${from} down`, `link set ${from} name ${to}`, `link set ${to} up`);
}

// An administrator's values were lost with cni-egress 0.1.0: they were known to one file alone, by the interface's name.
describe('the last DEL gives the administrator’s values back', labTest, () => {
  test('when the node’s record is lost', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    const before = await snapshot(node);
    const pod = await node.started();
    await loseRecord(node);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('when the node’s record is lost between two ADDs, and our table after them', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    const before = await snapshot(node);
    const first = await node.started();
    await loseRecord(node);
    const second = await node.started();
    await node.machine.must(['nft', 'delete table inet cni-egress']);
    for (const pod of [first, second]) await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('when our table is lost between two ADDs, and the node’s record after them', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    const before = await snapshot(node);
    const first = await node.started();
    await node.machine.must(['nft', 'delete table inet cni-egress']);
    const second = await node.started();
    await loseRecord(node);
    for (const pod of [first, second]) await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('of each interface with its last pod', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    const other = { ...exit, name: 'front', interface: 'eth0', addresses: node.addresses('eth0'), nextHop: undefined };
    const policies = [partners, other].map(({ name }) => ({ name, namespaces: [name], exit: name }));
    await node.write({ egress: entry({ exits: [exit, other], policies }) });
    const before = { eth0: await parameters(node, 'eth0'), eth1: await parameters(node) };
    const pods = { eth0: await node.started('front'), eth1: await node.started('partners') };
    await loseRecord(node);
    await node.end(pods.eth0);
    assert.equal(await parameters(node, 'eth0'), before.eth0);
    assert.notEqual(await parameters(node), before.eth1);
    await node.end(pods.eth1);
    assert.equal(await parameters(node), before.eth1);
  });

  for (const [first, second] of [
    ['cluster', 'other'],
    ['other', 'cluster'],
  ] as const) {
    test(`of two data folders, when ${first} ends first, and takes nothing of the other’s`, async () => {
      await using lab = await Lab.create();
      const node = await strictNode(lab);
      await writeOther(node);
      const before = await snapshot(node);
      const pods = { cluster: await node.started(), other: await node.started('default', 'other') };
      for (const pod of Object.values(pods)) assert.equal(await pod.ask('tcp', four), world.exitAddress[0]);
      await node.end(pods[first], first);
      assert.deepEqual(await pods[second].askEach(), world.exitAddress);
      assert.deepEqual((await node.plugin('CHECK', { pod: pods[second], network: second })).stdout, '');
      await node.end(pods[second], second);
      assertUnchanged(before, await snapshot(node));
    });
  }

  test('and not behind the back of another data folder’s first ADD', async () => {
    await using lab = await Lab.create();
    const node = await strictNode(lab);
    await writeOther(node);
    const before = await snapshot(node);
    const first = await node.started();
    const second = await node.withoutEgress(() => node.started('default', 'other'), 'other');
    const filter = '/proc/sys/net/ipv4/conf/eth1/rp_filter';
    // It has read the value; the table is gone, and the value is about to be written.
    const call = await stopped(node, first, 'DEL', ['-P', filter, '-e', 'inject=openat:signal=STOP:when=2']);
    const adding = node.plugin('ADD', { pod: second, network: 'other' });
    await waiting(node, '/proc/self/ns/net', adding);
    assert.equal((await call.goOn()).code, 0);
    assert.equal((await adding).code, 0);
    assert.equal(await second.ask('tcp', four), world.exitAddress[0]);
    await node.withoutEgress(() => node.end(first));
    await node.end(second, 'other');
    assertUnchanged(before, await snapshot(node));
  });

  test('that were set while another data folder was the last', async () => {
    await using lab = await Lab.create();
    const node = await strictNode(lab);
    await writeOther(node);
    const pods = [await node.started(), await node.started('default', 'other')] as const;
    await node.end(pods[0]);
    await node.end(pods[1], 'other');
    await node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 2 });
    const before = await parameters(node);
    await node.end(await node.started());
    assert.equal(await parameters(node), before);
  });

  test('when the interface was renamed, and another has its name', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    const before = await parameters(node);
    const pod = await node.started();
    assert.notEqual(await parameters(node), before);
    await rename(node, 'eth1', 'wan0');
    await node.machine.ip('link add eth1 type bridge');
    await node.machine.sysctl({ 'net.ipv4.conf.eth1.rp_filter': 2, 'net.ipv4.conf.eth1.src_valid_mark': 1 });
    const others = await parameters(node);
    await node.end(pod);
    assert.deepEqual([await parameters(node, 'wan0'), await parameters(node)], [before, others]);
    assert.doesNotMatch(await node.machine.must(['nft', 'list', 'tables']), /cni-egress/);
    assert.doesNotMatch(await node.machine.must(['ip', 'route', 'show', 'table', 'all']), /proto 230/);
  });

  test('when the interface was renamed, and the exit with it', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    const before = await parameters(node);
    const first = await node.started();
    await rename(node, 'eth1', 'wan0');
    await node.write({ egress: entry({ exits: [{ ...exit, interface: 'wan0' }] }) });
    const second = await node.started();
    assert.equal(await second.ask('tcp', four), world.exitAddress[0]);
    await node.end(first);
    assert.equal(await second.ask('tcp', four), world.exitAddress[0]);
    await node.end(second);
    assert.equal(await parameters(node, 'wan0'), before);
  });

  test('and nft of everybody lists where they are kept', async () => {
    await using lab = await Lab.create();
    const node = await isolatedNode(lab);
    await node.started();
    const listed = await node.machine.must(['nft', 'list', 'map', 'inet', 'cni-egress', 'kept4-rp_filter']);
    assert.match(listed, /type iface_index : mark\s+elements = { "eth1" comment "eth1" : 0x00000001 }/);
  });
});

// Two installations on one node, of which the second has an exit with the same id, or other numbers.
describe('a second data folder takes nothing of what the first has set up', labTest, () => {
  for (const [what, changes, details] of [
    [
      'whose exit has the same id',
      { exits: [{ ...exit, name: 'mine', interface: 'eth0', addresses: undefined, nextHop: undefined }] },
      /exit "mine" has the id \d+, which is that of exit "partners" on this node/,
    ],
    ['whose mark is another', { fwmark: '0x20000000' }, /on this node has 0x40000000, got 0x20000000/],
    ['whose routing tables are others', { routeTable: 600_000 }, /on this node has 500000, got 600000/],
  ] as const) {
    test(`${what}: ADD fails, and pods of the first leave as before`, async () => {
      await using lab = await Lab.create();
      const node = await strictNode(lab);
      const withId = (exits: readonly object[]) => exits.map((one) => ({ ...one, id: 7 }));
      const policies = [{ name: 'all', namespaces: ['*'], exit: 'mine' }];
      await node.write({ egress: entry({ exits: withId([exit]) }) });
      const own =
        'exits' in changes ? { exits: withId(changes.exits), policies } : { exits: withId([exit]), ...changes };
      await writeOther(node, own);
      const pod = await node.started();
      await assert.rejects(node.started('default', 'other'), details);
      assert.deepEqual(await pod.askEach(), world.exitAddress);
      assert.equal((await node.plugin('CHECK', { pod })).stdout, '');
    });
  }
});
