import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { RunningAgent } from '../support/agent.ts';
import {
  Cluster,
  internet,
  internetPolicy,
  policyFile,
  type ReplyPath,
  remotePartners,
  replyPaths,
} from '../support/cluster.ts';
import { Connections, Partner } from '../support/connections.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { world } from '../support/world.ts';

const exits = { eth0: internet, eth1: remotePartners } as const;

/** A cluster of two gateways and two workers, with an agent on each worker, and a pod. */
async function started(lab: Lab, replyPath: ReplyPath, uplink: keyof typeof exits) {
  const exit = exits[uplink];
  const cluster = await Cluster.create(lab, { nodes: [3, 4, 5, 6], replyPath });
  await cluster.policy({ exits: [exit], policies: [{ ...internetPolicy, exit: exit.name, except: world.exceptions }] });
  await cluster.up();
  const host = uplink === 'eth0' ? lab.front.host : lab.back.host;
  const partner = await Partner.start(host);
  const [one, other] = cluster.workers;
  const [first, second] = cluster.gateways;
  assert.ok(one && other && first && second);
  const pods = [await one.started(), await other.started()];
  const agents = [await RunningAgent.start(one), await RunningAgent.start(other)];
  return { cluster, exit, partner, pods, agents, workers: [one, other], first, second } as const;
}

const moveTo = async (node: LabNode, exit: string, to: LabNode) => {
  const words = ['exit', 'move', exit, '--to', to.addresses('eth0')[0], '--policy', policyFile];
  const { code, stderr } = await node.egress(...words);
  assert.equal(code, 0, stderr);
};

/** The gateway that a worker's agent says it uses for the exit, and whether it answers. */
async function used(node: LabNode): Promise<unknown> {
  const { agent } = JSON.parse((await node.egress('status', '--json')).stdout);
  return agent.gateways?.map(({ gateway, answers }: Record<string, unknown>) => ({ gateway, answers }));
}

const isFollowed = 'its pods use that one';

for (const replyPath of replyPaths) {
  for (const uplink of ['eth0', 'eth1'] as const) {
    describe(
      `agents on workers, with the reply path "${replyPath}" and an exit out of the gateways' ${uplink}`,
      labTest,
      () => {
        test('follow the exit’s address when its gateway died and another one has it, and all connections go on', async (t) => {
          await using lab = await Lab.create();
          const { cluster, exit, pods, partner, agents, workers, first, second } = await started(
            lab,
            replyPath,
            uplink,
          );
          const [before, after] = [first, second].map((node) => ({
            gateway: node.addresses('eth0')[0],
            answers: true,
          }));
          await settled(workers, [before]);
          const stop = await cluster.capture();
          const all = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 25)));
          await goOn(t, all, exit.addresses, 'before');
          const from = agents.map(({ length }) => length);
          for (const { namespace } of [lab.front, lab.back]) await namespace.ip(`link set node${first.number} down`);
          await moveTo(second, exit.name, second);
          await Promise.all(agents.map((agent, i) => agent.line(isFollowed, from[i])));
          await goOn(t, all, exit.addresses, 'after');
          await settled(workers, [after]);
          assert.deepEqual(partner.broken, []);
          assert.deepEqual(cluster.leaks(await stop(), exit.addresses), []);
        });
      },
    );
  }
}

/** Waits until all say the same, and for it at most as long as a hundred commands take. */
async function settled(workers: readonly LabNode[], right: unknown): Promise<void> {
  for (const worker of workers) {
    for (let tries = 0; tries < 100 && !isDeepStrictEqual(await used(worker), right); tries++);
    assert.deepEqual(await used(worker), right);
  }
}

async function goOn(t: TestContext, all: readonly Connections[], addresses: readonly string[], when: string) {
  const rounds = await Promise.all(all.map((connections) => connections.round()));
  t.diagnostic(`longest gap ${when}: ${Math.max(...rounds.map(({ gap }) => gap))} ms`);
  for (const { broken, silent, peers, moved } of rounds) {
    assert.deepEqual([broken, silent, new Set(peers)], [[], [], new Set(addresses)]);
    assert.ok(moved > 0);
  }
}
