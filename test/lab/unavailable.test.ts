import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

/**
 * Cilium (its issue about gateways that are gone) and kube-vip keep pods cut off; whoever says `onUnavailable: "node"`
 * wants them to work with the node's address, and with the exit's again when the trouble is over.
 */
const lenient = { ...policy, exits: [{ ...partners, onUnavailable: 'node' }] };

async function nodeIn(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ egress: egressEntry(lenient) });
  return node;
}

const setUplink = (lab: Lab, state: 'up' | 'down') => lab.back.namespace.ip(`link set node5 ${state}`);

/** The kernel flushes addresses of IPv6 with the interface; the administrator's tools give them back. */
const bringBack = (node: LabNode) =>
  node.machine.ip(
    'link set eth1 up',
    `address replace ${node.addresses('eth1')[1]}/64 dev eth1 nodad`,
    `address replace ${partners.addresses[1]} dev eth1 nodad preferred_lft 0`,
  );

describe('pods of an exit with onUnavailable "node"', labTest, () => {
  test('leave with the node’s address while the cable is out, and by the exit when it is in again: the kernel does it', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    await node.settle();
    const before = await snapshot(node);
    const pod = await node.started();
    assert.deepEqual(await pod.askEach(), partners.addresses);
    await setUplink(lab, 'down');
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    await setUplink(lab, 'up');
    assert.deepEqual(await pod.askEach(), partners.addresses);
    await node.end(pod);
    assertUnchanged(before, await snapshot(node));
  });

  test('start while the interface is down, and have the exit after the next ADD or egress repair', async () => {
    await using lab = await Lab.create();
    const node = await nodeIn(lab);
    await node.machine.ip('link set eth1 down');
    const pod = await node.started();
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    assert.match((await node.egress('check')).stdout, /route .* is missing/);
    await bringBack(node);
    assert.equal((await node.egress('repair')).code, 0);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    await node.machine.ip('link set eth1 down');
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    await bringBack(node);
    const next = await node.started();
    assert.deepEqual(await next.askEach(), partners.addresses);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.equal((await node.cnitool('check', pod)).code, 0);
  });

  test('start while there is no such interface, without configured addresses', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const { addresses: _, ...exit } = partners;
    await node.write({ egress: egressEntry({ ...lenient, exits: [{ ...exit, onUnavailable: 'node' }] }) });
    await node.machine.ip('link set eth1 name away0');
    const pod = await node.started();
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    await node.machine.ip('link set away0 down', 'link set away0 name eth1');
    await bringBack(node);
    await node.started();
    assert.deepEqual(await pod.askEach(), node.addresses('eth1'));
    await node.end(pod);
  });

  test('while pods of other exits still do not start without theirs', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.machine.ip('link set eth1 down');
    const { code, stderr } = await node.cnitool('add', await node.pod());
    assert.equal(code, 1);
    assert.match(stderr, /interface "eth1", which is down/);
  });
});
