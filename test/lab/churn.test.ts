import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks, packetsFrom, packetsTo } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

const pods = 100;
const atATime = 16;
/** So few that an address has its next pod a moment after its last one, often of the other kind. */
const addresses = 24;

test(
  '100 pods, 16 at a time, in random order, on addresses that are used again at once, are all steered right',
  labTest,
  async (t) => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.write({
      ranges: [
        { subnet: '10.0.0.0/24', rangeStart: '10.0.0.10', rangeEnd: `10.0.0.${9 + addresses}` },
        { subnet: 'fd00:10::/64', rangeStart: 'fd00:10::10', rangeEnd: `fd00:10::${(15 + addresses).toString(16)}` },
      ],
    });
    await node.settle();
    const before = await snapshot(node);
    const capture = await node.capture();
    const seed = Date.now();
    t.diagnostic(`seed ${seed}`);

    const used = await churn(node, randomFrom(seed));

    assert.equal(used.size, 2 * addresses, 'all addresses were used, and no others');
    const packets = await capture.stop();
    assert.deepEqual(packetsFrom(packets, ...world.cluster), []);
    assert.deepEqual(leaks(packetsTo(packets, ...world.service)), []);
    assertUnchanged(before, await snapshot(node));
    assert.deepEqual(await node.records(), ['lock']);
  },
);

/** Starts and ends all pods, and returns the addresses that they had. Who comes and who goes next is left to chance. */
async function churn(node: LabNode, random: () => number): Promise<ReadonlySet<string>> {
  const used = new Set<string>();
  const running: Pod[] = [];
  let toCome = pods;
  let held = 0;

  const come = async () => {
    toCome--;
    held++;
    const pod = await node.started(random() < 0.5 ? 'default' : 'other');
    for (const address of pod.addresses) used.add(address);
    await assertSteeredRight(node, pod);
    running.push(pod);
  };
  const go = async () => {
    const [pod] = running.splice(Math.floor(random() * running.length), 1);
    if (pod === undefined) return setTimeout(10);
    await node.end(pod);
    held--;
  };
  const worker = async () => {
    while (toCome > 0 || running.length > 0) {
      const mayCome = toCome > 0 && held < addresses;
      await (mayCome && (running.length === 0 || random() < 0.5) ? come() : go());
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return used;
}

/** Pods with and without a policy ask different services, so that the recording shows on its own who leaked. */
async function assertSteeredRight(node: LabNode, pod: Pod): Promise<void> {
  const [services, sources] =
    pod.namespace === 'default' ? [world.service, world.exitAddress] : [world.excepted, node.addresses('eth0')];
  assert.deepEqual(await pod.askEach('tcp', services), sources, `${pod.name} of ${pod.namespace} at ${pod.addresses}`);
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
