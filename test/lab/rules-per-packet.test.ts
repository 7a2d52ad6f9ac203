import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, partners } from '../support/chain.ts';
import { Cluster, internetPolicy, remotePartners } from '../support/cluster.ts';
import { countRules, type Evaluated, type KindOf } from '../support/evaluated.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { world } from '../support/world.ts';

/** How many of our rules a packet is compared with. More of them are slower packets: see test/bench/README.md. */

const [service] = world.service;
const ends = { gateway: '172.18.0.3', worker: '172.18.0.5' } as const;

/** By the headers of a packet: of the connection, there and back, or around one of these in the tunnel. */
const kindOf: KindOf = (headers) => {
  if (headers.includes(' udp dport 4788 '))
    return headers.includes(` ip daddr ${ends.gateway} `) ? 'around there' : 'around back';
  if (headers.includes(` ip daddr ${service} `)) return 'there';
  return headers.includes(` ip saddr ${service} `) ? 'back' : undefined;
};

/** Asks the service once, each time by the same connection of UDP. What both packets paid on each machine. */
async function paid(pod: Pod, nodes: Readonly<Record<string, LabNode>>): Promise<Record<string, string>> {
  const names = (pod.result?.interfaces ?? []).filter(({ sandbox }) => sandbox === undefined).map(({ name }) => name);
  const device = names.find((name) => name.startsWith('veth')) ?? '';
  const counts = await Promise.all(
    Object.entries(nodes).map(
      async ([name, { machine }], i) => [name, await countRules(machine, i === 0 ? [device] : [])] as const,
    ),
  );
  assert.match((await pod.askFromPort(40_000, 'udp', [service]))[0] ?? '', / 40000$/);
  const all = await Promise.all(
    counts.map(async ([name, count]) =>
      [...(await count.stop(kindOf))].map(([kind, what]) => [`${name}, ${kind}`, words(what, device)]),
    ),
  );
  return Object.fromEntries(all.flat());
}

/** What the first packets of a connection paid, and what all others do. */
const firstAndLater = async (pod: Pod, nodes: Readonly<Record<string, LabNode>>) => ({
  first: await paid(pod, nodes),
  later: await paid(pod, nodes),
});

const words = ({ hooks, rules }: Evaluated, device: string): string =>
  `${rules} in ${hooks.map((hook) => hook.replace(device, 'veth')).join(', ')}`;

describe('a packet is compared with no more rules than these,', labTest, () => {
  test('by a local exit, and of a pod without a policy beside it', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const [steered, other] = [await node.started(), await node.started('kube-system')];
    assert.deepEqual(await firstAndLater(steered, { node }), {
      first: {
        'node, there': '36 in from-veth, classify, nat, guard, sent-eth1',
        'node, back': '9 in classify, guard',
      },
      later: {
        'node, there': '12 in from-veth, classify, guard, sent-eth1',
        'node, back': '9 in classify, guard',
      },
    });
    assert.deepEqual(await firstAndLater(other, { node }), {
      first: { 'node, there': '12 in classify, nat, guard', 'node, back': '7 in classify, guard' },
      later: { 'node, there': '6 in classify, guard', 'node, back': '7 in classify, guard' },
    });
  });

  test('by an exit with a fast path, with sixteen such exits as with one', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const paidWith = async (count: number) => {
      const others = Array.from({ length: count - 1 }, (_, i) => ({ ...partners, name: `other-${i}`, fastPath: true }));
      const policies = others.map(({ name }, i) => ({
        ...internetPolicy,
        name,
        destinations: [`203.0.113.${i}/32`],
        exit: name,
      }));
      await node.write({
        egress: egressEntry({
          exits: [{ ...partners, fastPath: true }, ...others],
          policies: [{ ...internetPolicy, exit: partners.name, priority: 1 }, ...policies],
        }),
      });
      const pod = await node.started();
      const { later } = await firstAndLater(pod, { node });
      const chains = await node.machine.must(['nft', 'list', 'chains']);
      assert.equal(chains.match(/chain exit-\d+ /g)?.length, count);
      await node.end(pod);
      return later;
    };
    const one = await paidWith(1);
    assert.deepEqual(one, {
      'node, there': '15 in from-veth, classify, fast, guard, sent-eth1',
      'node, back': '10 in classify, fast, guard',
    });
    assert.deepEqual(await paidWith(16), one);
  });

  test('through the tunnel, answers too', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
    await cluster.policy({
      exits: [{ ...remotePartners, gateways: [ends.gateway] }],
      policies: [{ ...internetPolicy, exit: remotePartners.name }],
    });
    await cluster.up();
    const [[worker], [gateway]] = [cluster.workers, cluster.gateways];
    assert.ok(worker && gateway);
    const around = {
      'gateway, around there': '4 in untracked-in, classify, owned',
      'gateway, around back': '5 in untracked-out, local, guard',
      'worker, around there': '5 in untracked-out, local, guard',
      'worker, around back': '3 in untracked-in, classify',
    };
    assert.deepEqual(await firstAndLater(await worker.started(), { worker, gateway }), {
      first: {
        ...around,
        'worker, there': '36 in from-veth, untracked-in, classify, nat, guard, sent-egress0',
        'worker, back': '14 in untracked-in, classify, guard',
        'gateway, there': '35 in untracked-in, late, classify, nat, guard, sent-eth1',
        'gateway, back': '11 in untracked-in, classify, guard',
      },
      later: {
        ...around,
        'worker, there': '15 in from-veth, untracked-in, classify, guard, sent-egress0',
        'worker, back': '14 in untracked-in, classify, guard',
        'gateway, there': '16 in untracked-in, classify, guard, sent-eth1',
        'gateway, back': '11 in untracked-in, classify, guard',
      },
    });
  });
});
