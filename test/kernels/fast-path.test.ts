import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from '../support/agent.ts';
import { egressEntry, type Json, type Network, partners, policy } from '../support/chain.ts';
import { Connections, Partner } from '../support/connections.ts';
import { fastCounts, hasFastTable } from '../support/fast-path.ts';
import { Lab, labTest } from '../support/lab.ts';
import { describePacket, leaks, packetsFrom, packetsTo } from '../support/packets.ts';
import { world } from '../support/world.ts';

const exits = [{ ...partners, fastPath: true }];
const policies = [{ ...policy.policies[0], onChange: 'cut' }];
const fast = (changes: Json = {}) => egressEntry({ exits, policies, ...changes });

/** Milliseconds in which nothing may leave any more: connections say something every few milliseconds, and again when nobody answers. */
const while_ = 2_000;

async function started(lab: Lab, primary: Network['primary']) {
  const node = await lab.node();
  await node.write({ primary, egress: fast() });
  const pod = await node.started();
  const agent = await RunningAgent.start(node);
  await agent.line('the fast path is on');
  await Partner.start(lab.back.host);
  const connections = await Connections.open(pod, 'echo', 2);
  await connections.round();
  return { node, pod, agent, connections };
}

describe('a fast path', labTest, () => {
  for (const primary of ['ptp', 'bridge'] as const) {
    test(`takes established connections of both families, and all is counted (${primary})`, async () => {
      await using lab = await Lab.create();
      const { node, agent, connections } = await started(lab, primary);
      const before = await fastCounts(node);
      const capture = await node.capture();
      for (let i = 0; i < 5; i++) assert.deepEqual((await connections.round()).broken, []);
      assert.deepEqual((await connections.round()).peers, world.exitAddress);
      assert.deepEqual(leaks(await capture.stop()), []);
      const after = await fastCounts(node);
      assert.equal(after.slow, before.slow);
      assert.ok(after.fast >= before.fast + 2 * 50, `${after.fast - before.fast} packets`);
      const { exits: told } = JSON.parse((await node.egress('status', '--json')).stdout);
      assert.deepEqual([told[0].fastPath, told[0].dropped], [{ isOn: true }, { packets: 0 }]);
      await connections.end();
      await agent.end();
      assert.equal(await hasFastTable(node), false);
    });
  }

  test('ends with the exit’s address, without one packet more', async () => {
    await using lab = await Lab.create();
    const { node, connections } = await started(lab, 'ptp');
    const capture = await node.capture();
    for (const address of world.exitAddress) {
      await node.machine.ip(`address del ${address} dev eth1`);
      const gone = Date.now() / 1000;
      await setTimeout(while_);
      const back = Date.now() / 1000;
      await node.machine.ip(`address add ${address} dev eth1 ${address.includes(':') ? 'preferred_lft 0 nodad' : ''}`);
      times.push({ address, gone, back });
    }
    const packets = await capture.stop();
    assert.deepEqual(leaks(packets), []);
    for (const { address, gone, back } of times.splice(0))
      assert.equal(packetsFrom(packets, address).filter(({ time }) => time > gone && time < back).length, 0, address);
    assert.deepEqual((await connections.round()).broken, []);
  });

  test('ends when the policy denies it: nothing leaves behind the change', async () => {
    await using lab = await Lab.create();
    const { node, agent } = await started(lab, 'ptp');
    const capture = await node.capture();
    await node.write({ primary: 'ptp', egress: fast({ policies: [{ ...policies[0], exit: 'drop' }] }) });
    await agent.line('adopted');
    const adopted = Date.now() / 1000;
    await setTimeout(while_);
    const packets = await capture.stop();
    assert.deepEqual(leaks(packets), []);
    // What comes for a connection that was cut the node itself answers: see leaks.
    const behind = packetsTo(packets, ...world.outside).filter(({ time, ownReset }) => time > adopted && !ownReset);
    assert.deepEqual(behind.map(describePacket), []);
  });

  test('ends with the ruleset, and begins again when the agent has put it back', async () => {
    await using lab = await Lab.create();
    const { node, agent, connections, pod } = await started(lab, 'bridge');
    const capture = await node.capture();
    await node.machine.must(['nft', 'flush', 'ruleset']);
    await agent.line('put back');
    await connections.end(); // an answer may have come to the node itself meanwhile, which ends its connection
    const anew = await Connections.open(pod, 'echo', 2);
    do assert.deepEqual((await anew.round()).broken, []);
    while ((await fastCounts(node)).fast === 0);
    assert.deepEqual(leaks(await capture.stop()), []);
  });

  test('ends with an agent that is killed: connections go on, and every packet is judged', async () => {
    await using lab = await Lab.create();
    const { node, agent, connections } = await started(lab, 'ptp');
    const capture = await node.capture();
    await agent.end('SIGKILL');
    while (await hasFastTable(node)) await setTimeout(10);
    const before = await fastCounts(node);
    assert.deepEqual((await connections.round()).broken, []);
    const after = await fastCounts(node);
    assert.deepEqual(leaks(await capture.stop()), []);
    assert.equal(after.fast, before.fast);
    assert.ok(after.slow >= before.slow + 2 * 10);
    assert.match((await node.egress('status')).stdout, /The fast path of exit "partners" is off: no agent runs\./);
  });

  test('goes on while other pods come and go', async () => {
    await using lab = await Lab.create();
    const { node, connections } = await started(lab, 'bridge');
    const before = await fastCounts(node);
    for (let i = 0; i < 3; i++) await node.end(await node.started('kube-system'));
    assert.deepEqual((await connections.round()).broken, []);
    const after = await fastCounts(node);
    // The kernel ends all with each route that comes or goes, and forgets that within a second.
    const [slow, fast] = [after.slow - before.slow, after.fast - before.fast];
    assert.ok(slow * 4 < fast, `${slow} packets were judged, and ${fast} were not`);
  });
});

const times: { readonly address: string; readonly gone: number; readonly back: number }[] = [];
