import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Json, partners, primaries } from '../support/chain.ts';
import { Cluster, internet, internetPolicy, policyFile } from '../support/cluster.ts';
import { assertLeavesNothing, del, situations } from '../support/deletion.ts';
import { Lab, labTest } from '../support/lab.ts';
import { ip } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

for (const primary of primaries) {
  describe(`on a node whose pods leave from a gateway, after the last DEL, which follows ${primary},`, labTest, () => {
    let lab: Lab;
    let worker: LabNode;

    before(async () => {
      lab = await Lab.create();
      ({ worker } = await settled(lab, { primary }));
    });

    after(() => lab.remove());

    // What happens before DEL has nothing to do with who made the pod's interface: once through the list will do.
    for (const situation of primary === 'bridge' ? situations : situations.slice(0, 1)) {
      test(`the node is as before the first ADD, when ${situation.when}`, async () => {
        await emptied(worker);
        const before = await snapshot(worker);
        const pod = await worker.started();
        assert.notEqual(await deviceOf(worker), '');
        assert.deepEqual(await pod.askEach('udp'), internet.addresses);
        await assertLeavesNothing(worker, pod, before, situation);
        assert.equal(await deviceOf(worker), '');
      });
    }
  });
}

describe('DEL on a node whose pods leave from a gateway', labTest, () => {
  test('of the last pod that uses the tunnel takes exactly the tunnel, when a pod with another exit stays', async () => {
    await using lab = await Lab.create();
    const { cluster, worker } = await settled(lab);
    const local = { name: 'partners', namespaces: ['partners'], destinations: ['0.0.0.0/0', '::/0'], exit: 'partners' };
    const exits = [{ ...internet, gateways: ['172.18.0.3'] }, partners];
    await worker.machine.ip(...partners.addresses.map((address) => `address add ${address} dev eth1`));
    await cluster.policy({ exits, policies: [internetPolicy, local] });
    const empty = await snapshot(worker);
    const staying = await worker.started('partners');
    const before = await snapshot(worker);
    const pods = [await worker.started(), await worker.started()];
    for (const pod of pods) {
      assert.notEqual(await deviceOf(worker), '');
      await worker.end(pod);
      assert.equal((await worker.egress('check')).code, 0);
    }
    assertUnchanged(before, await snapshot(worker));
    assert.deepEqual(await staying.askEach(), partners.addresses);
    await worker.end(staying);
    assertUnchanged(empty, await snapshot(worker));
  });

  test('leaves another pod that uses the tunnel all that it needs', async () => {
    await using lab = await Lab.create();
    const { worker } = await settled(lab);
    const before = await snapshot(worker);
    const [first, second] = [await worker.started(), await worker.started()];
    await worker.end(first);
    assert.equal((await worker.plugin('CHECK', { pod: second })).code, 0);
    assert.deepEqual(await second.askEach(), internet.addresses);
    await worker.end(second);
    assertUnchanged(before, await snapshot(worker));
  });

  test('leaves the device egress0 of somebody else', async () => {
    await using lab = await Lab.create();
    const { worker } = await settled(lab);
    const pod = await worker.started();
    await ip(worker, 'link delete egress0');
    await ip(worker, 'link add egress0 type bridge');
    const theirs = await deviceOf(worker);
    await worker.end(pod);
    assert.equal(await deviceOf(worker), theirs);
    assert.deepEqual(await worker.records(), ['lock']);
  });

  for (const namespace of ['default', 'other']) {
    test(`that comes late leaves all to a pod of namespace ${namespace} that got the same address`, async () => {
      await using lab = await Lab.create();
      const { worker } = await settled(lab);
      const ranges = ['10.0.1.50', 'fd00:10:0:1::50'].map(oneAddress);
      await worker.write({ ...worker.network('cluster'), ranges });
      const before = await snapshot(worker);
      const first = await worker.started();
      await worker.withoutEgress(() => worker.end(first));
      const second = await worker.started(namespace);
      assert.deepEqual(second.addresses, first.addresses);
      await del(worker, first);
      const seen = namespace === 'default' ? internet.addresses : worker.addresses('eth0');
      assert.deepEqual(await second.askEach(), seen);
      assert.equal((await worker.plugin('CHECK', { pod: second })).code, 0);
      await worker.end(second);
      assertUnchanged(before, await snapshot(worker));
      assert.deepEqual(await worker.records(), ['lock']);
    });
  }
});

describe('DEL of the last pod on a gateway', labTest, () => {
  test('leaves the gateway to others, and --down after it leaves nothing', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker, before } = await settled(lab);
    const serving = await snapshot(gateway);
    const [own, served] = [await gateway.started(), await worker.started()];
    assert.deepEqual(await own.askEach(), internet.addresses);
    await gateway.end(own);
    assertUnchanged(serving, await snapshot(gateway));
    assert.deepEqual(await planOf(gateway), '');
    assert.deepEqual(await served.askEach(), internet.addresses);
    await cluster.down(gateway);
    assertUnchanged(before, await snapshot(gateway));
    assert.deepEqual(await gateway.records(), ['lock']);
  });

  test('after --down leaves nothing; until then the pod keeps what steers it', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, before } = await settled(lab);
    const pod = await gateway.started();
    await cluster.down(gateway);
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    await gateway.end(pod);
    assertUnchanged(before, await snapshot(gateway));
    assert.deepEqual(await gateway.records(), ['lock']);
  });
});

describe('GC', labTest, () => {
  test('of the runtime leaves a node without any attachment as it was before the first ADD', async () => {
    await using lab = await Lab.create();
    const { worker } = await settled(lab);
    const before = await snapshot(worker);
    const pods = [await worker.started(), await worker.started()];
    await gc(worker, pods.slice(1));
    assert.deepEqual(await pods[1]?.askEach(), internet.addresses);
    await gc(worker, []);
    for (const pod of pods) await worker.withoutEgress(() => worker.end(pod));
    assertUnchanged(before, await snapshot(worker));
    assert.deepEqual(await worker.records(), ['lock']);
  });

  test('of the runtime on a gateway leaves the gateway to others', async () => {
    await using lab = await Lab.create();
    const { gateway } = await settled(lab);
    const serving = await snapshot(gateway);
    const pod = await gateway.started();
    await gc(gateway, []);
    await gateway.withoutEgress(() => gateway.end(pod));
    assertUnchanged(serving, await snapshot(gateway));
    assert.equal(await planOf(gateway), '');
  });

  test('by hand takes the tunnel with the last pod whose interface is gone, and --dry-run prints the commands that do the same', async () => {
    await using lab = await Lab.create();
    const { worker } = await settled(lab);
    const pod = await worker.started();
    assert.notDeepEqual(await traces(worker), []);
    await pod.network.ip('link delete eth0');
    const before = await snapshot(worker);
    const { stdout: plan } = await worker.egress('gc', '--dry-run');
    assertUnchanged(before, await snapshot(worker));
    await worker.machine.must(['sh', '-e'], { stdin: plan.replaceAll(/^.* would be taken down$/gm, '') });
    assert.deepEqual(await traces(worker), []);
    const byHand = await snapshot(worker);
    assert.match((await worker.egress('gc')).stdout, /taken down\n$/);
    assertUnchanged(byHand, await snapshot(worker));
    assert.deepEqual(await worker.records(), ['lock']);
  });
});

/** A gateway and a worker on which only the primary plugin has been; `before` is the gateway before all of egress. */
async function settled(lab: Lab, changes: Json = {}) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
  await cluster.write(changes);
  const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
  assert.ok(gateway && worker);
  await Promise.all([gateway.settle(), worker.settle()]);
  const before = await snapshot(gateway);
  await cluster.up();
  return { cluster, gateway, worker, before };
}

/** Takes away what the test before had put aside. */
async function emptied({ machine }: LabNode): Promise<void> {
  await machine.must(['rm', '-rf', '/var/lib/cni/egress']);
}

/** The tunnel's device as ip shows it; nothing when it is not there. */
const deviceOf = async ({ machine }: LabNode): Promise<string> =>
  (await machine.run(['ip', '-details', 'link', 'show', 'egress0'])).stdout;

/** Every line of the node's state that says it is ours. */
const traces = async (node: LabNode): Promise<readonly string[]> =>
  (await snapshot(node)).split('\n').filter((line) => /cni-egress|proto 230|egress0/.test(line));

/** What has to be done to the gateway, as commands. */
const planOf = async (gateway: LabNode): Promise<string> =>
  (await gateway.egress('gateway', '--policy', policyFile, '--dry-run')).stdout;

async function gc(node: LabNode, valid: readonly Pod[]): Promise<void> {
  const attachments = valid.map(({ containerID, interface: ifname }) => ({ containerID, ifname }));
  const config = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': attachments };
  const { code, stdout } = await node.plugin('GC', { config });
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '' });
}

const oneAddress = (address: string) => {
  const subnet = address.includes(':') ? 'fd00:10:0:1::/64' : '10.0.1.0/24';
  return { subnet, rangeStart: address, rangeEnd: address };
};
