import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Json, partners } from '../support/chain.ts';
import { Cluster, internet, internetPolicy } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';

/** What is wrong with the configuration of a node that is no gateway, and what ADD answers. */
interface Refusal {
  readonly what: string;
  /** Of the policy file. */
  readonly policy?: Json;
  /** Of the chain entry. */
  readonly entry?: Json;
  readonly code: number;
  readonly details: RegExp;
}

const gateways = ['172.18.0.3'];
const exits = [{ ...internet, gateways }];
const others = [{ address: '172.18.0.3', podCIDRs: ['10.0.0.0/24'] }];
const tunnel = { vni: 14597, port: 4788 };

const refusals: readonly Refusal[] = [
  {
    what: 'a node that is neither in nodes nor in allowedSources',
    policy: { nodes: others },
    code: 111,
    details: /172\.18\.0\.5 is in neither nodes nor tunnel\.allowedSources/,
  },
  {
    what: 'a node that is outside of allowedSources',
    policy: { nodes: [], tunnel: { ...tunnel, replyPath: 'direct', allowedSources: ['172.18.0.0/30'] } },
    code: 111,
    details: /172\.18\.0\.5 is in neither/,
  },
  {
    what: '"node" that is no address of this node',
    entry: { node: '172.18.0.9' },
    code: 111,
    details: /172\.18\.0\.9 is no address of this node/,
  },
  { what: 'gateways without nodes', policy: { nodes: [] }, code: 7, details: /#\/exits\/0\/gateways\/0.*"nodes"/ },
  {
    what: 'the reply path "tunnel" without podCIDRs',
    policy: { nodes: gateways.concat('172.18.0.5').map((address) => ({ address })) },
    code: 7,
    details: /#\/tunnel\/replyPath.*"podCIDRs"/,
  },
  {
    what: 'gateways of two families',
    policy: { exits: [{ ...internet, gateways: [...gateways, 'fd00:172::3'] }] },
    code: 7,
    details: /#\/exits\/0\/gateways\/1.*family/,
  },
  {
    what: 'a gateway that is no address',
    policy: { exits: [{ ...internet, gateways: ['node3'] }] },
    code: 7,
    details: /#\/exits\/0\/gateways\/0.*"node3"/,
  },
  {
    what: 'gateways and no addresses',
    policy: { exits: [{ name: 'internet', gateways }] },
    code: 7,
    details: /#\/exits\/0.*addresses/,
  },
  {
    what: 'a VNI that VXLAN does not have',
    policy: { tunnel: { ...tunnel, vni: 2 ** 24 } },
    code: 7,
    details: /#\/tunnel\/vni/,
  },
  {
    what: 'a pod range that two nodes have',
    policy: { nodes: [...others, { address: '172.18.0.5', podCIDRs: ['10.0.0.0/25'] }] },
    code: 7,
    details: /#\/nodes\/1\/podCIDRs\/0.*10\.0\.0\.0\/25/,
  },
];

describe('ADD of a pod whose exit is another node is refused, and leaves nothing behind:', labTest, () => {
  let lab: Lab;
  let cluster: Cluster;
  let node: LabNode;
  let pod: Pod;

  before(async () => {
    lab = await Lab.create();
    cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3], replyPath: 'tunnel' });
    node = cluster.workers[0] as LabNode;
    pod = await node.withoutEgress(() => node.started());
  });

  after(() => lab.remove());

  for (const { what, policy = {}, entry = {}, code, details } of refusals) {
    test(what, async () => {
      await cluster.policy({ exits, ...policy });
      const state = await snapshot(node);
      const outcome = await node.plugin('ADD', { pod, config: entry });
      assert.equal(outcome.code, 1);
      assertIsError(outcome.json, code, details);
      assertUnchanged(state, await snapshot(node));
      assert.deepEqual(
        (await node.records()).filter((name) => name !== 'lock'),
        [],
      );
    });
  }

  test('and succeeds when all is right', async () => {
    await cluster.policy();
    assert.equal((await node.plugin('ADD', { pod })).code, 0);
    assert.notDeepEqual(await node.records(), ['lock']);
  });
});

describe('egress status', labTest, () => {
  test('shows on the gateway and on the node of the pods what nftables counted', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    await cluster.up();
    const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
    assert.ok(gateway && worker);
    const pods = [await gateway.started(), await worker.started(), await worker.started()];
    for (const pod of pods) assert.deepEqual(await pod.askEach('udp'), internet.addresses);

    const there = await statusOf(worker);
    assert.deepEqual([there.exit.gateway, there.exit.device, 'served' in there.exit], ['172.18.0.3', 'egress0', false]);
    assert.deepEqual(there.tunnel, {
      vni: 14597,
      port: 4788,
      local: '172.18.0.5',
      mtu: 1450,
      unserved: 0,
      strangers: 0,
    });
    assert.equal(sum(there.pods), await countedPods(worker));
    assert.ok(there.pods.length === 2 && sum(there.pods) >= 4, `${there.pods}`); // and the search for neighbours
    assert.deepEqual(
      [there.exit.steered.packets, there.exit.tunnelled?.packets, there.exit.dropped.packets],
      [4, 4, 0],
    );
    assert.equal(there.exit.left, undefined); // what becomes of them only the gateway knows
    assert.equal(await counted(worker, 'set', 'tunnels', '0x00000909'), 4);
    assert.equal(await counted(worker, 'chain', 'exit-2313', 'counter'), 4);

    const here = await statusOf(gateway);
    assert.deepEqual([here.exit.gateway, here.exit.device], [undefined, 'eth0']);
    assert.equal(here.exit.served?.packets, 4);
    assert.equal(await counted(gateway, 'map', 'served', '0x00000909'), 4);
    assert.equal(sum(here.pods), await countedPods(gateway));
    assert.deepEqual([here.exit.steered.packets, here.exit.left?.packets, here.exit.dropped.packets], [6, 6, 0]);
    assert.equal(here.tunnel?.local, '172.18.0.3');
    assert.match((await gateway.egress('status')).stdout, /^internet +2313 +eth0 .* 4 +6 +6 +0$/m);
    assert.match(
      (await worker.egress('status')).stdout,
      /^internet +2313 +egress0 .*gateway 172\.18\.0\.3 .* 4 +- +4 +0$/m,
    );
  });

  test('shows what came for an exit that is not served', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    await cluster.up();
    const [gateway, worker] = [cluster.gateways[0], cluster.workers[0]];
    assert.ok(gateway && worker);
    const pod = await worker.started();
    await nft(gateway, `flush map ${table} served`);
    assert.equal(await pod.ask('udp', '203.0.113.9'), 'nothing');
    const { tunnel } = await statusOf(gateway);
    assert.notEqual(tunnel?.unserved, 0);
    assert.equal(await counted(gateway, 'chain', 'arrive', 'drop'), tunnel?.unserved);
    assert.match((await gateway.egress('status')).stdout, new RegExp(`not served here: ${tunnel?.unserved} packets?`));
  });

  test('shows neither a tunnel nor a gateway for an exit of the node itself', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab, { nodes: [3, 5], gateways: [3] });
    const worker = cluster.workers[0] as LabNode;
    await worker.machine.ip(...partners.addresses.map((address) => `address add ${address} dev eth1`));
    await cluster.policy({ exits: [partners], policies: [{ ...internetPolicy, exit: 'partners' }] });
    await worker.started();
    const { exit, tunnel } = await statusOf(worker);
    assert.deepEqual([exit.gateway, 'served' in exit, tunnel], [undefined, false, undefined]);
  });
});

interface Count {
  readonly packets: number;
}

/** What `egress status --json` says of the only exit, of the packets of each pod, and of the tunnel. */
async function statusOf(node: LabNode) {
  const status = JSON.parse((await node.egress('status', '--json')).stdout) as {
    readonly exits: readonly [
      Readonly<{
        device: string;
        gateway?: string;
        served?: Count;
        steered: Count;
        left?: Count;
        tunnelled?: Count;
        dropped: Count;
      }>,
    ];
    readonly pods: readonly Count[];
    readonly tunnel?: Readonly<{ local: string; unserved: Count; strangers: Count }>;
  };
  const { exits, pods, tunnel } = status;
  const [unserved, strangers] = [tunnel?.unserved.packets, tunnel?.strangers.packets];
  return {
    exit: exits[0],
    pods: pods.map(({ packets }) => packets),
    tunnel: tunnel && { ...tunnel, unserved, strangers },
  };
}

/** What nft shows as counted in the first line with the words. */
async function counted(node: LabNode, kind: 'set' | 'map' | 'chain', name: string, words: string): Promise<number> {
  const list = await nft(node, `list ${kind} ${table} ${name}`);
  const lines = list.split('\n').filter((line) => line.includes('packets'));
  return Number(/packets (\d+)/.exec(lines.find((line) => line.includes(words)) ?? '')?.[1]);
}

/** What nft shows as counted for all pods together. */
async function countedPods(node: LabNode): Promise<number> {
  const maps = await Promise.all(['pods4', 'pods6'].map((map) => nft(node, `list map ${table} ${map}`)));
  return sum([...maps.join().matchAll(/packets (\d+)/g)].map(([, packets]) => Number(packets)));
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The error object of the specification, with all four members. */
function assertIsError(json: unknown, code: number, details: RegExp): void {
  const error = json as { cniVersion: string; code: number; msg: string; details: string };
  assert.deepEqual(Object.keys(error), ['cniVersion', 'code', 'msg', 'details']);
  assert.equal(error.code, code, JSON.stringify(error));
  assert.match(error.details, details);
}
