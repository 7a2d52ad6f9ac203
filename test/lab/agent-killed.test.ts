import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from '../support/agent.ts';
import { partners, policy } from '../support/chain.ts';
import { kernelOf, parametersOf, roundsUntilWell, setUpAnew } from '../support/fresh.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import { repeating } from '../support/repeating.ts';
import { changedLines } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** How often the agent is killed; 40 times take many minutes. */
const kills = Number(process.env.EGRESS_KILLED_AGENTS ?? 6);
/** From when on agents are killed, in turn: what they said last. */
const beginnings = ['pid ', 'the agent looks after this node', 'what the policies say now'] as const;
/** Milliseconds in which they are killed then. */
const longest = 1_000;

/** Another exit by the same interface. */
const second = { ...partners, name: 'second', addresses: ['192.168.0.246', 'fd00:168::246'] } as const;
const exits: readonly string[] = [...partners.addresses, ...second.addresses];
const [own] = policy.policies;

/** The policy file, put in place at once, as a ConfigMap is. */
async function writePolicy(node: LabNode, exit: string, onChange = 'keep'): Promise<void> {
  const text = JSON.stringify({ ...policy, exits: [partners, second], policies: [{ ...own, exit, onChange }] });
  await writeFile(node.configuration('policy.new'), text);
  await rename(node.configuration('policy.new'), node.configuration('policy.json'));
}

async function prepared(lab: Lab): Promise<LabNode> {
  const node = await lab.node();
  const [four, six] = second.addresses;
  await node.machine.ip(`address add ${four}/24 dev eth1`, `address add ${six}/64 dev eth1 preferred_lft 0`);
  await writePolicy(node, 'partners');
  await node.write({ egress: { type: 'egress', policyFile: '/etc/cni/policy.json' } });
  await node.settle();
  return node;
}

// An agent that runs out of memory, or is restarted by a liveness probe, at any moment.
test(
  `${kills} agents killed at random under traffic, ADDs, DELs and changed policies let no packet leave wrongly, and leave the node of one that was never killed`,
  labTest,
  async (t) => {
    await using lab = await Lab.create();
    const node = await prepared(lab);
    const parameters = await parametersOf(node);
    const pods = await Promise.all(Array.from({ length: 5 }, () => node.started()));
    const capture = await node.capture();
    const senders = await Promise.all(pods.map((pod) => pod.send('pause=0.02', ...world.service)));
    const policies = repeating(async (time) => {
      await writePolicy(node, time % 2 === 0 ? 'second' : 'partners', time % 4 < 2 ? 'cut' : 'keep');
      await setTimeout(500);
    });
    const calls = repeating(async () => {
      const pod = await node.started();
      assert.ok((await pod.askEach('udp')).every((answer) => exits.includes(answer)));
      await node.end(pod);
    });
    let told = 0;
    for (let i = 0; i < kills; i++) {
      const agent = await RunningAgent.startUntil(node, beginnings[i % beginnings.length] ?? '');
      await setTimeout(Math.random() * longest);
      assert.equal(await agent.end('SIGKILL'), 'exit code 137');
      told += agent.said().filter(({ msg }) => `${msg}`.includes('what the policies say now')).length;
    }
    const [changes, lives] = [await policies(), await calls()];
    await Promise.all(senders.map((sender) => sender.stop()));
    const packets = packetsTo(await capture.stop(), ...world.service);
    t.diagnostic(
      `${kills} kills, ${changes} policies, ${told} changed pods, ${lives} pods came and went, ${packets.length} packets`,
    );
    assert.deepEqual(
      packets.filter(({ source, ownReset }) => !exits.includes(source) && !ownReset),
      [],
    );
    assert.ok(
      exits.every((address) => packets.some(({ source }) => source === address)),
      'each exit was used',
    );
    await writePolicy(node, 'second');
    await node.machine.run(['conntrack', '-F']);
    await roundsUntilWell(node);
    const after = await kernelOf(node);
    assert.ok(
      after.some((line) => line.includes('"name":"program-')),
      'what is compared has the pods',
    );
    await setUpAnew(node, parameters);
    assert.deepEqual(changedLines((await kernelOf(node)).join('\n'), after.join('\n')), []);
    for (const pod of pods) assert.deepEqual(await pod.askEach(), second.addresses);
  },
);
