import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, partners } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const member =
  /which is a member of a VRF: what pods send would leave, but answers look for the pods in the table of the VRF/;

/**
 * Puts the exit's interface into a VRF as Documentation/networking/vrf.rst of Linux says: with an end to its table, without
 * which what is not found there would be looked for in the main one.
 */
async function enslave(node: LabNode): Promise<void> {
  await node.machine.ip('link add vrf0 type vrf table 10', 'link set vrf0 up');
  for (const family of ['-4', '-6'])
    await node.machine.must([
      'ip',
      family,
      'route',
      'add',
      'unreachable',
      'default',
      'metric',
      '4278198272',
      'table',
      '10',
    ]);
  await node.machine.ip('link set eth1 master vrf0');
}

/** The kernel forgets an interface's IPv6 addresses when it goes into a VRF or out, as when it goes down. */
async function giveAddresses(node: LabNode): Promise<void> {
  const [own, exit] = [node.addresses('eth1')[1], world.exitAddress[1]];
  await node.machine.ip(`address replace ${own}/64 dev eth1 nodad`, `address replace ${exit} dev eth1 nodad`);
}

// Linux 6.1 and 6.12 as Debian ships them, with cni-egress 0.1.0: ADD and CHECK were content, packets left, and no answer came.
describe('an exit whose interface is in a VRF', labTest, () => {
  test('is refused by ADD with the reason, as is the VRF itself, and nothing is left', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.withoutEgress(() => node.started());
    await enslave(node);
    await giveAddresses(node);
    const before = await snapshot(node);
    for (const [device, why] of [
      ['eth1', member],
      ['vrf0', /which is a VRF: pods outside of it get no answers from there/],
    ] as const) {
      await node.write({ egress: egressEntry({ exits: [{ ...partners, interface: device }] }) });
      const { code, json } = await node.plugin('ADD', { pod });
      const { code: number, details } = json as { code: number; details: string };
      assert.deepEqual([code, number], [1, 103]);
      assert.match(details, new RegExp(`^Exit "partners" leaves by interface "${device}", `));
      assert.match(details, why);
    }
    assertUnchanged(before, await snapshot(node));
  });

  test('since pods were started is told by CHECK, check and explain, and by the next ADD; nothing leaks', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [pod, next] = [await node.started(), await node.withoutEgress(() => node.started())];
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    const capture = await node.capture();
    await enslave(node);
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    assert.match((await node.plugin('CHECK', { pod })).stdout, member);
    const checked = await node.egress('check');
    assert.equal(checked.code, 1);
    assert.match(checked.stdout, member);
    const explained = await node.egress('explain', pod.addresses[0] ?? '', world.service[0]);
    assert.match(explained.stdout, /is dropped: /);
    assert.match((await node.plugin('ADD', { pod: next })).stdout, member);
    const unmended = await node.egress('repair');
    assert.equal(unmended.code, 1, unmended.stdout);
    assert.match(unmended.stdout, member);
    assert.deepEqual(await pod.askEach('udp'), ['nothing', 'nothing']);
    await node.machine.ip('link set eth1 nomaster');
    await giveAddresses(node);
    assert.equal((await node.egress('repair')).code, 0);
    assert.deepEqual(await pod.askEach('udp'), world.exitAddress);
    assert.equal((await node.egress('check')).code, 0);
    assert.deepEqual(leaks(await capture.stop()), []);
  });
});
