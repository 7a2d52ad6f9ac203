import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { partners, policy } from '../support/chain.ts';
import { Connections, Partner } from '../support/connections.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import { world } from '../support/world.ts';

/** Another exit by the same interface, with addresses of its own. */
const second = { ...partners, name: 'second', addresses: ['192.168.0.246', 'fd00:168::246'] } as const;
const [own] = policy.policies;
const policyFile = '/etc/cni/policy.json';
/** How often the exit changes under traffic; 100 take two minutes. */
const rounds = Number(process.env.EGRESS_CHANGES ?? 20);

/** The same where each change cuts all connections, and new ones have to be made. */
const cuts = Number(process.env.EGRESS_CHANGES ?? 3);

const document = (exit: string, more: object = {}) => ({
  ...policy,
  exits: [partners, second],
  policies: exit === '' ? [] : [{ ...own, exit, ...more }],
});

const writePolicy = (node: LabNode, exit: string, more: object = {}): Promise<void> =>
  writeFile(node.configuration('policy.json'), JSON.stringify(document(exit, more)));

/** A node whose policy file says which exit pods of `default` have, and a far end that answers. */
async function started(lab: Lab, exit: string) {
  const node = await lab.node();
  await node.machine.ip(
    `address add ${second.addresses[0]}/24 dev eth1`,
    `address add ${second.addresses[1]}/64 dev eth1 preferred_lft 0`,
  );
  await writePolicy(node, exit);
  await node.write({ egress: { type: 'egress', policyFile } });
  await Promise.all([Partner.start(lab.back.host), Partner.start(lab.front.host)]);
  return node;
}

/** Makes one round of the agent, which must find nothing that it cannot do. */
async function agentRound(node: LabNode): Promise<string> {
  const { code, stdout, stderr } = await node.egress('agent', '--once');
  assert.deepEqual([code, stderr], [0, ''], stdout);
  return stdout;
}

/**
 * Rounds until the agent lets go what is held of connections that have ended. A late packet of one makes it anew in conntrack,
 * and it has its number again where the kernel takes the same memory for it: then it is the connection that it was.
 */
async function forgottenConnections(node: LabNode): Promise<void> {
  for (let tries = 0; tries < 10 && (await node.records()).length > 1; tries++) {
    await node.machine.run(['conntrack', '-F']);
    await agentRound(node);
  }
}

/** How many times a pod was given another exit. */
const changes = (agent: RunningAgent): number =>
  agent.daemon.lines.filter((line) => line.includes('what the policies say now')).length;

describe('when the exit of a running pod changes', labTest, () => {
  test('its connections stay with the exit that they began with, new ones have the new one', async () => {
    await using lab = await Lab.create();
    const node = await started(lab, 'partners');
    const pod = await node.started();
    const old = await Connections.open(pod, 'echo', 10);
    const capture = await node.capture();
    for (const exit of ['second', 'partners', 'second']) {
      await writePolicy(node, exit);
      await agentRound(node);
    }
    const { moved, silent, broken, peers } = await old.round();
    assert.deepEqual([moved, silent, broken, peers], [10, [], [], [...partners.addresses]]);
    assert.deepEqual(await pod.askEach(), second.addresses);
    assert.equal((await node.cnitool('check', pod)).code, 0);
    const sources = new Set(packetsTo(await capture.stop(), ...world.service).map(({ source }) => source));
    assert.deepEqual([...sources].toSorted(), [...partners.addresses, ...second.addresses].toSorted());
  });

  test('they stay with it when no policy is for the pod any more, and what holds them goes with them', async () => {
    await using lab = await Lab.create();
    const node = await started(lab, 'partners');
    const pod = await node.started();
    const old = await Connections.open(pod, 'echo', 4);
    await writePolicy(node, '');
    await agentRound(node);
    const { moved, silent, peers } = await old.round();
    assert.deepEqual([moved, silent, peers], [4, [], [...partners.addresses]]);
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
    await old.end();
    await forgottenConnections(node);
    assert.deepEqual(await node.records(), ['lock']);
    assert.equal((await node.machine.run(['nft', 'list', 'table', 'inet', 'cni-egress'])).code, 1);
    assert.deepEqual(await pod.askEach(), node.addresses('eth0'));
  });

  test('those of a pod that is adopted stay as they were', async () => {
    await using lab = await Lab.create();
    const node = await started(lab, 'partners');
    const pod = await node.withoutEgress(() => node.started());
    const old = await Connections.open(pod, 'echo', 4);
    await agentRound(node);
    const { moved, silent, peers } = await old.round();
    assert.deepEqual([moved, silent, peers], [4, [], [...node.addresses('eth0')]]);
    assert.deepEqual(await pod.askEach(), partners.addresses);
    assert.match(await nft(node, `list map ${table} held`), /: return/);
  });

  test('they are cut where the policy says so, and where it drops now', async () => {
    await using lab = await Lab.create();
    const node = await started(lab, 'partners');
    const [pod, other] = [await node.started(), await node.started()];
    const old = await Connections.open(pod, 'echo', 4);
    await writePolicy(node, 'second', { onChange: 'cut' });
    await agentRound(node);
    assert.equal((await old.round()).broken.length, 4);
    const held = await Connections.open(other, 'idle', 4);
    await writePolicy(node, 'drop');
    const capture = await node.capture();
    await agentRound(node);
    assert.equal((await held.round()).moved, 0);
    const left = packetsTo(await capture.stop(), ...world.service);
    assert.deepEqual(
      left.filter(({ ownReset }) => !ownReset),
      [],
    ); // the node refuses answers of what it has cut
  });

  test(`${cuts} changes with onChange "cut" end each connection of the time before, once, and show two addresses`, async (t) => {
    await using lab = await Lab.create();
    const node = await started(lab, 'partners');
    const pods = [await node.started(), await node.started()];
    const capture = await node.capture();
    const senders = await Promise.all(pods.map((pod) => pod.send('pause=0.05', ...world.service)));
    const agent = await RunningAgent.start(node);
    const [outlived, early]: [string[], string[]] = [[], []];
    for (let i = 1; i <= cuts; i++) {
      const now = i % 2 === 1 ? second : partners;
      const open = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 4)));
      for (const connections of open) early.push(...(await connections.round()).broken);
      await writePolicy(node, now.name, { onChange: 'cut' });
      while (changes(agent) < i * pods.length) await agent.line('', agent.length);
      for (const connections of open) {
        const { moved, broken } = await connections.round();
        if (moved > 0 || broken.length !== 4) outlived.push(`${i}: ${moved} moved, ${broken}`);
        await connections.end();
      }
      for (const pod of pods) assert.deepEqual(await pod.askEach(), now.addresses);
    }
    await Promise.all(senders.map((sender) => sender.stop()));
    assert.deepEqual([outlived, early], [[], []], 'all end with the change, and none before it');
    const packets = packetsTo(await capture.stop(), ...world.service).filter(({ ownReset }) => !ownReset);
    const bySource = Map.groupBy(packets, ({ source }) => source);
    t.diagnostic([...bySource].map(([source, { length }]) => `${length} packets from ${source}`).join(', '));
    assert.deepEqual([...bySource.keys()].toSorted(), [...partners.addresses, ...second.addresses].toSorted());
  });

  test(`${rounds} changes under traffic show the addresses of the two exits alone, and no connection ends`, async () => {
    await using lab = await Lab.create();
    const node = await started(lab, 'partners');
    const pods = [await node.started(), await node.started()];
    const capture = await node.capture();
    const senders = await Promise.all(pods.map((pod) => pod.send('pause=0.05', ...world.service)));
    const old = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 10)));
    const agent = await RunningAgent.start(node);
    for (let i = 1; i <= rounds; i++) {
      await writePolicy(node, i % 2 === 1 ? 'second' : 'partners');
      while (changes(agent) < i * pods.length) await agent.line('', agent.length);
    }
    for (const connections of old) assert.deepEqual((await connections.round()).broken, []);
    await Promise.all(senders.map((sender) => sender.stop()));
    const sources = new Set(packetsTo(await capture.stop(), ...world.service).map(({ source }) => source));
    assert.deepEqual([...sources].toSorted(), [...partners.addresses, ...second.addresses].toSorted());
  });
});
