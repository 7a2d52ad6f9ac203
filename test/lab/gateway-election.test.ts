import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RunningAgent } from '../support/agent.ts';
import { internet } from '../support/cluster.ts';
import { Connections } from '../support/connections.ts';
import {
  agentOf,
  elected,
  electionOf,
  goOn,
  held,
  heldElsewhere,
  holders,
  isHeldBy,
  isServed,
  until,
} from '../support/elected.ts';
import { Keepalived } from '../support/keepalived.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { tool } from '../support/tools.ts';

describe('gateways with agents', labTest, () => {
  test('elect: the first of the list has the addresses and serves, and the other is ready', async () => {
    await using lab = await Lab.create();
    const { cluster, first, second } = await elected(lab);
    assert.deepEqual(await holders(cluster), [first.number]);
    for (const node of cluster.all) {
      assert.equal((await node.egress('check')).code, 0, `node ${node.number}`);
      const { code, stdout } = await node.egress('doctor');
      assert.equal(code, 0, `node ${node.number}: ${stdout}`);
    }
    const [of1, of2] = await Promise.all([first, second].map(async (node) => (await node.egress('status')).stdout));
    assert.match(of1 ?? '', /Exit "internet": this gateway has its addresses since .*: no other gateway spoke/);
    assert.match(of2 ?? '', /Exit "internet": gateway 172\.18\.0\.3 has its addresses, this one is ready since/);
    const { code, stderr } = await second.egress(
      'exit',
      'move',
      'internet',
      '--to',
      '172.18.0.4',
      '--policy',
      '/etc/cni/egress/policy.json',
    );
    assert.deepEqual([code, /elect/.test(stderr)], [2, true], stderr);
  });

  test('hand over when the agent is told to end, and take part again when it comes back, without disturbing', async (t) => {
    await using lab = await Lab.create();
    const world = await elected(lab);
    const { cluster, first, second, worker } = world;
    const command = [tool('tcpdump'), '-i', 'egress0', '-nn', '-l', 'arp'];
    const tunnel = await worker.machine.start(command, 'listening on');
    const handOver = async () => {
      await agentOf(world, first).end();
      await isHeldBy(cluster, second);
      await tunnel.line('192.0.0.8 is-at'); // a hint to the nodes of pods, who then ask at once
    };
    await goOn(t, world, handOver);
    await goOn(t, world, async () => {
      const back = await RunningAgent.start(first);
      void back;
    });
  });

  test('hand over when the node is drained, and take nothing until that is over', async (t) => {
    await using lab = await Lab.create();
    const world = await elected(lab);
    const { cluster, first, second } = world;
    const drain = async () => {
      const { code, stdout, stderr } = await first.egress('gateway', '--drain');
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /^Other gateways have the exits/);
      assert.deepEqual(await holders(cluster), [second.number]);
    };
    await goOn(t, world, drain);
    assert.match((await first.egress('status')).stdout, /it takes no part: the node is drained/);
    assert.equal((await second.egress('gateway', '--drain')).code, 1);
    assert.deepEqual(await holders(cluster), [second.number]);
    for (const node of [first, second]) assert.equal((await node.egress('gateway', '--undrain')).code, 0);
    await until(async () => !(await first.egress('status')).stdout.includes('drained'));
    assert.deepEqual(await holders(cluster), [second.number]);
  });

  test('move nothing when agent and election are killed or hang, while the kernel goes on', async (t) => {
    await using lab = await Lab.create();
    const world = await elected(lab);
    const { cluster, first, second } = world;
    const election = await electionOf(first, agentOf(world, first));
    await goOn(t, world, async () => {
      for (const pid of [agentOf(world, first).pid, election]) process.kill(pid, 'SIGSTOP');
      await until(async () => (await second.egress('status')).stdout.includes('sends no advertisements'));
      for (const pid of [agentOf(world, first).pid, election]) process.kill(pid, 'SIGKILL');
      assert.deepEqual(await holders(cluster), [first.number]);
      await RunningAgent.start(first);
      await until(async () => !(await second.egress('status')).stdout.includes('sends no advertisements'));
      assert.deepEqual(await holders(cluster), [first.number]);
    });
  });

  test('keep connections when the addresses come back to a gateway whose agent hung all the while', async (t) => {
    await using lab = await Lab.create();
    const world = await elected(lab);
    const { cluster, first, second, pods, worker } = world;
    const ofWorker = { ...world, pods: pods.filter((_, i) => cluster.all[i] === worker) };
    const cables = async ({ number }: LabNode, state: 'up' | 'down') => {
      for (const { namespace } of [lab.front, lab.back]) await namespace.ip(`link set node${number} ${state}`);
    };
    const connections = await Connections.open(pods[cluster.all.indexOf(worker)] as Pod, 'echo', 10);
    process.kill(agentOf(world, first).pid, 'SIGSTOP');
    await goOn(t, ofWorker, async () => {
      await cables(first, 'down');
      await isHeldBy(cluster, second);
      assert.deepEqual((await connections.round()).silent, []);
      await cables(first, 'up');
      await cables(second, 'down');
      await isHeldBy(cluster, first);
    });
    const { silent, broken } = await connections.round();
    assert.deepEqual([silent, broken], [[], []]);
  });

  test('follow a node that is gone', async (t) => {
    await using lab = await Lab.create();
    const world = await elected(lab);
    const { cluster, first, second, pods, worker } = world;
    const others = { ...world, pods: pods.filter((_, i) => cluster.all[i] !== first) };
    const fails = async () => {
      for (const { namespace } of [lab.front, lab.back]) await namespace.ip(`link set node${first.number} down`);
      await until(async () => (await held(second)) === internet.addresses.length);
    };
    await goOn(t, others, fails);
    void worker;
  });

  test('leave the addresses to keepalived, where the exit says so: who has them serves', async () => {
    await using lab = await Lab.create();
    const { cluster, first, second, worker } = await heldElsewhere(lab);
    assert.deepEqual(await holders(cluster), []);
    const addresses = [...internet.addresses.slice(0, 1), 'fe80::51', ...internet.addresses.slice(1)];
    const options = { device: 'eth0', vrid: 51, addresses } as const;
    const pod = await worker.started();
    const keepalived = await Keepalived.start(second, { ...options, priority: 100 });
    await isHeldBy(cluster, second);
    await isServed(pod);
    await Keepalived.start(first, { ...options, priority: 50 });
    await keepalived.daemon.stop();
    await isHeldBy(cluster, first);
    await isServed(pod);
    await until(async () => (await first.egress('status')).stdout.includes('this gateway has its addresses'));
    await until(async () => (await second.egress('status')).stdout.includes('this one is ready'));
  });
});
