import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RunningAgent } from '../support/agent.ts';
import {
  Cluster,
  type ClusterOptions,
  describeFromNode,
  internet,
  internetPolicy,
  packetsOutside,
} from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { fastCounts, hasFastTable } from '../support/fast-path.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsFrom } from '../support/packets.ts';

const fast = { ...internet, gateways: ['172.18.0.3'], fastPath: true };
/** Another exit of the same gateway. */
const other = { ...fast, name: 'other', addresses: ['172.18.0.34', 'fd00:172::34'] };

/** A gateway and a worker with agents, and a pod on each, of which the worker's has connections. */
async function started(lab: Lab, options: ClusterOptions = {}) {
  const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel', ...options });
  const [gateway, worker] = cluster.all;
  assert.ok(gateway && worker);
  const exits = [fast, other].map((exit) => ({ ...exit, gateways: [cluster.end(gateway)] }));
  await cluster.policy({ exits, policies: [{ ...internetPolicy, onChange: 'cut' }] });
  const atGateway = await RunningAgent.start(gateway);
  const pod = await worker.started();
  const atWorker = await RunningAgent.start(worker);
  for (const agent of [atGateway, atWorker]) await agent.line('the fast path is on');
  while ((await pod.askEach()).some((answer, i) => answer !== internet.addresses[i])) await setTimeout(50);
  await Partner.start(lab.front.host);
  const connections = await Connections.open(pod, 'echo', 2);
  await connections.round();
  return { cluster, gateway, worker, atGateway, atWorker, pod, connections };
}

const countsOf = async (...nodes: readonly LabNode[]) => await Promise.all(nodes.map(fastCounts));

/** Milliseconds in which nothing may leave any more: connections say something every few milliseconds, and again when nobody answers. */
const while_ = 2_000;

describe('a fast path through a gateway', labTest, () => {
  for (const replyPath of ['tunnel', 'direct'] as const)
    test(`takes established connections, and all is counted (answers: ${replyPath})`, async () => {
      await using lab = await Lab.create();
      const { cluster, gateway, worker, connections } = await started(lab, { replyPath });
      const isOneFamily = (node: LabNode) => replyPath === 'direct' && node === gateway; // IPv4 alone
      const before = await countsOf(gateway, worker);
      const stop = await cluster.capture();
      for (let i = 0; i < 5; i++) assert.deepEqual((await connections.round()).broken, []);
      assert.deepEqual((await connections.round()).peers, internet.addresses);
      assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
      for (const [i, node] of [gateway, worker].entries()) {
        const [was = { slow: 0, fast: 0 }, is] = [before[i], await fastCounts(node)];
        if (isOneFamily(node)) assert.ok(is.slow >= was.slow + 50, `${is.slow}`);
        else assert.equal(is.slow, was.slow);
        assert.ok(is.fast >= was.fast + (isOneFamily(node) ? 1 : 2) * 50, `${is.fast}`);
      }
      await connections.end();
      for (const node of [gateway, worker]) {
        const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
        const told = exits.find(({ name }: { name: string }) => name === internet.name);
        assert.deepEqual([told.fastPath, told.dropped], [{ isOn: true }, { packets: 0 }]);
        if (node === gateway) assert.deepEqual(told.served.packets, told.steered.packets);
      }
    });

  test('ends with the exit’s address on the gateway, without one packet more', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, atGateway, connections } = await started(lab);
    const stop = await cluster.capture();
    const times = [];
    process.kill(atGateway.pid, 'SIGSTOP'); // it would put the address back
    for (const address of internet.addresses) {
      await gateway.machine.ip(`address del ${address} dev eth0`);
      const gone = Date.now() / 1000;
      await setTimeout(while_);
      const back = Date.now() / 1000;
      await gateway.machine.ip(
        `address add ${address} dev eth0 ${address.includes(':') ? 'preferred_lft 0 nodad' : ''}`,
      );
      times.push({ address, gone, back });
    }
    process.kill(atGateway.pid, 'SIGCONT');
    const packets = await stop();
    assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
    for (const { address, gone, back } of times)
      assert.equal(packetsFrom(packets, address).filter(({ time }) => time > gone && time < back).length, 0, address);
    assert.deepEqual((await connections.round()).broken, []);
  });

  test('ends where the pod’s node says another exit: the gateway lets nothing go on by the one before', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, atWorker } = await started(lab);
    const stop = await cluster.capture();
    await cluster.policy({
      exits: [fast, other],
      policies: [{ ...internetPolicy, onChange: 'cut', exit: other.name }],
    });
    await atWorker.line('adopted');
    const adopted = Date.now() / 1000;
    await setTimeout(while_);
    const packets = await stop();
    assert.deepEqual(cluster.leaks(packets, [...internet.addresses, ...other.addresses]), []);
    const behind = packetsFrom(packetsOutside(packets), ...internet.addresses).filter(({ time }) => time > adopted);
    assert.deepEqual(behind.map(describeFromNode), []);
    assert.ok(JSON.parse((await gateway.egress('status', '--json')).stdout).guarded.packets > 0);
  });

  for (const who of ['gateway', 'worker'] as const)
    test(`ends with the agent of the ${who} that is killed: connections go on, and every packet is judged there`, async () => {
      await using lab = await Lab.create();
      const all = await started(lab);
      const [node, agent] = who === 'gateway' ? [all.gateway, all.atGateway] : [all.worker, all.atWorker];
      const stop = await all.cluster.capture();
      await agent.end('SIGKILL');
      while (await hasFastTable(node)) await setTimeout(10);
      const before = await fastCounts(node);
      assert.deepEqual((await all.connections.round()).broken, []);
      const after = await fastCounts(node);
      assert.deepEqual(all.cluster.leaks(await stop(), internet.addresses), []);
      assert.equal(after.fast, before.fast);
      assert.ok(after.slow >= before.slow + 2 * 10);
    });

  test('ends with the ruleset of the worker, and begins again when its agent has put it back', async () => {
    await using lab = await Lab.create();
    const { cluster, worker, atWorker, connections } = await started(lab);
    const stop = await cluster.capture();
    await worker.machine.must(['nft', 'flush', 'ruleset']);
    await atWorker.line('put back');
    do assert.deepEqual((await connections.round()).broken, []);
    while ((await fastCounts(worker)).fast === 0);
    assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
  });

  test('ends with the ruleset of the gateway, and begins again when its agent has put it back', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, atGateway, connections, pod } = await started(lab);
    const stop = await cluster.capture();
    await gateway.machine.must(['nft', 'flush', 'ruleset']);
    await atGateway.line('put back');
    await connections.end(); // answers may have come to the gateway itself meanwhile, which ends their connections
    const anew = await Connections.open(pod, 'echo', 2);
    do assert.deepEqual((await anew.round()).broken, []);
    while ((await fastCounts(gateway)).fast === 0);
    assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
  });

  test('takes IPv6 alone in a tunnel between IPv6 addresses, and all goes on', async () => {
    await using lab = await Lab.create();
    const { cluster, gateway, worker, connections } = await started(lab, { underlay: 6 });
    const before = await countsOf(gateway, worker);
    const stop = await cluster.capture();
    for (let i = 0; i < 2; i++) assert.deepEqual((await connections.round()).silent, []);
    assert.deepEqual((await connections.round()).broken, []);
    assert.deepEqual(cluster.leaks(await stop(), internet.addresses), []);
    for (const [i, { slow, fast }] of (await countsOf(gateway, worker)).entries()) {
      assert.ok(slow >= (before[i]?.slow ?? 0) + 20, `${slow}`);
      assert.ok(fast >= (before[i]?.fast ?? 0) + 20, `${fast}`);
    }
  });
});
