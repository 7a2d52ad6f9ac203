import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { familyOf } from '../../src/base/address.ts';
import { egressEntry, type Json, partners } from '../support/chain.ts';
import { Cluster, internet, internetPolicy } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, changedLines, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const { exitAddress } = world;

/** As kube-proxy does it in IPVS mode (1.34): a device without a way, on every node, with the address of every Service. */
async function hold({ machine }: LabNode, addresses: readonly string[]): Promise<void> {
  // In reality a dummy, which not every kernel has.
  await machine.ip('link add kube-ipvs0 type bridge');
  await give(machine, 'kube-ipvs0', addresses);
}

type Machine = LabNode['machine'];

const flagsOf = (address: string): string => (familyOf(address) === 6 ? 'nodad preferred_lft 0' : '');

const give = (machine: Machine, device: string, addresses: readonly string[]): Promise<unknown> =>
  machine.ip(...addresses.map((address) => `address add ${address} dev ${device} ${flagsOf(address)}`));

const take = (machine: Machine, device: string, addresses: readonly string[]): Promise<unknown> =>
  machine.ip(
    ...addresses.map((address) => `address del ${address}/${familyOf(address) === 4 ? 32 : 128} dev ${device}`),
  );

async function started(lab: Lab, changes: Json = {}) {
  const node = await lab.node(5, []);
  await node.write({ egress: egressEntry({ exits: [{ ...partners, ...changes }] }) });
  await node.settle();
  await hold(node, exitAddress);
  return { node, before: await snapshot(node) };
}

describe('an egress address that kube-proxy holds on kube-ipvs0 of every node', labTest, () => {
  test('is not on this node while the exit’s interface does not have it; and is, from the moment when it does', async () => {
    await using lab = await Lab.create();
    const { node, before } = await started(lab);
    const pod = await node.started();
    const capture = await node.capture();
    for (const answer of await pod.askEach()) assert.equal(answer, 'nothing');
    // The node itself tells the segment which groups it listens to (MLDv2).
    const left = (await capture.stop()).filter(({ interface: device }) => device === 'eth1');
    assert.deepEqual(
      left.filter(({ destination }) => destination !== 'ff02::16'),
      [],
    );
    assert.match((await node.egress('status')).stdout, /192\.168\.0\.245 \(not here\)/);
    // kube-vip, keepalived: whoever moves the address here
    for (let i = 0; i < 2; i++) {
      await give(node.machine, 'eth1', exitAddress);
      assert.deepEqual(await pod.askEach(), exitAddress);
      assert.equal((await node.egress('check')).code, 0);
      assert.doesNotMatch((await node.egress('status')).stdout, /not here/);
      await take(node.machine, 'eth1', exitAddress);
      for (const answer of await pod.askEach()) assert.equal(answer, 'nothing');
    }
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('is on the exit’s interface also when kube-proxy had it first', async () => {
    await using lab = await Lab.create();
    const { node } = await started(lab);
    await give(node.machine, 'eth1', exitAddress);
    const before = await snapshot(node);
    const pod = await node.started();
    assert.deepEqual(await pod.askEach(), exitAddress);
    // made anew by kube-proxy, and by whoever moves the address, in that order: explain, check and the packet agree
    for (const device of ['kube-ipvs0', 'eth1']) await take(node.machine, device, exitAddress);
    for (const device of ['kube-ipvs0', 'eth1']) await give(node.machine, device, exitAddress);
    const [of4, of6] = await pod.askEach();
    assert.deepEqual([of4, of6], ['nothing', exitAddress[1]]);
    assert.match(
      (await node.egress('check')).stdout,
      /metric 230 of local route 192\.168\.0\.245 of kube-ipvs0 is missing/,
    );
    const other = await node.started();
    assert.deepEqual(await pod.askEach(), exitAddress);
    for (const each of [pod, other]) await node.end(each);
    assert.deepEqual(changedLines(before, await snapshot(node)), []);
  });

  test('is on this node when the exit says that it is there', async () => {
    await using lab = await Lab.create();
    const { node } = await started(lab, { addressesOn: ['kube-ipvs0'] });
    const pod = await node.started();
    const capture = await node.capture();
    // Linux answers ARP for addresses of any interface, but neighbour solicitations only for those of the one asked.
    assert.deepEqual(await pod.askEach(), [exitAddress[0], 'nothing']);
    const sources = (await capture.stop())
      .filter(({ interface: device }) => device === 'eth1')
      .map(({ source }) => source)
      .filter((source) => exitAddress.some((address) => address === source));
    assert.deepEqual([...new Set(sources)].toSorted(), exitAddress.toSorted());
    assert.equal((await node.egress('check')).code, 0);
  });

  test('is put on the interface by the gateway, and answered for', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.policy({ exits: [internet], policies: [internetPolicy] });
    const [gateway] = cluster.gateways;
    assert.ok(gateway);
    await hold(gateway, internet.addresses);
    await gateway.settle();
    const before = await snapshot(gateway);
    await cluster.up();
    const pods = await cluster.startedOnEach();
    for (const pod of pods) assert.deepEqual(await pod.askEach(), internet.addresses);
    for (const node of cluster.all) assert.equal((await node.egress('check')).code, 0);
    for (const [i, pod] of pods.entries()) await cluster.all[i]?.end(pod);
    await cluster.down(gateway);
    const left = changedLines(before, await snapshot(gateway)).filter((line) =>
      /172\.18\.0\.33|fd00:172::33/.test(line),
    );
    assert.deepEqual(
      left.filter((line) => / dev eth0 |metric 230/.test(line)),
      [],
    );
  });
});
