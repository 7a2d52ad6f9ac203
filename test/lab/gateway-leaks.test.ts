import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, type Json, partners } from '../support/chain.ts';
import {
  Cluster,
  type ClusterPacket,
  describeFromNode,
  internet,
  internetPolicy,
  packetsOutside,
  type ReplyPath,
  remotePartners,
  replyPaths,
} from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { packetsFrom, packetsTo, tally } from '../support/packets.ts';
import { type Pod, sentMore } from '../support/pod.ts';
import { world } from '../support/world.ts';

for (const replyPath of replyPaths) {
  describe(`with the reply path "${replyPath}", of pods that send all the time`, labTest, () => {
    test('no packet leaves with another source from before ADD until after DEL', async () => {
      await using lab = await Lab.create();
      const cluster = await Cluster.create(lab, { replyPath });
      await cluster.up();
      const stop = await cluster.capture();
      const pods = await cluster.startedOnEach();
      const senders = await send(pods);
      await senders.more();
      await Promise.all(cluster.all.map((node) => node.machine.sysctl(patience)));
      for (const [i, pod] of pods.entries()) await cluster.all[i]?.del(pod);
      await senders.more();
      await senders.stop();
      const packets = await stop();
      assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
      assert.deepEqual(kinds(packets), everythingThatIsSent(3));
    });

    test('no packet leaves with another source while the exit moves to another gateway', async () => {
      await using lab = await Lab.create();
      const { cluster, pods } = await started(lab, replyPath);
      const [, second] = cluster.gateways;
      assert.ok(second);
      const stop = await cluster.capture();
      const senders = await send(pods);
      await cluster.move(internet.name, second);
      await senders.more();
      await senders.stop();
      const packets = await stop();
      assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
      assert.deepEqual(kinds(packets), [...everythingThatIsSent(3), ...everythingThatIsSent(4)]);
      assert.deepEqual(await answers(pods), rightAnswers(pods));
    });
  });
}

/**
 * A node asks for a neighbour that is gone three times, and then tells who sent to it: answers to a pod after its DEL
 * make the node itself write to the outside. Here it asks for longer than any test takes.
 */
const patience = { 'net.ipv4.neigh.cni0.mcast_solicit': 1000, 'net.ipv6.neigh.cni0.mcast_solicit': 1000 };

/** How the way of a pod on a worker to the outside is lost. */
interface Loss {
  readonly what: string;
  happens(cluster: Ways): Promise<void>;
  /** Whether the gateway's eth0 goes, with its addresses and routes, which somebody has to give back. */
  readonly cutsUplink?: true;
  /** Who loses the packets, and counts them; the gateway counts as its kernel does. */
  readonly where: 'worker' | 'gateway' | 'between';
}

type Ways = Readonly<{ lab: Lab; gateway: LabNode; worker: LabNode }>;

const losses: readonly Loss[] = [
  {
    what: 'the uplink of the gateway is down',
    happens: ({ gateway }) => gateway.machine.ip('link set eth0 down'),
    cutsUplink: true,
    where: 'between',
  },
  {
    what: 'all links of the gateway are gone',
    happens: async ({ lab, gateway }) => {
      const away = await lab.namespace('away');
      await gateway.machine.ip('link delete egress0', 'link set eth1 down', `link set eth0 netns ${away.name}`);
      await away.ip(`link set eth0 netns ${gateway.machine.name}`);
    },
    cutsUplink: true,
    where: 'between',
  },
  {
    what: 'the tunnel of its node is down',
    happens: ({ worker }) => worker.machine.ip('link set egress0 down'),
    where: 'worker',
  },
  {
    what: 'the tunnel of its node is deleted',
    happens: ({ worker }) => worker.machine.ip('link delete egress0'),
    where: 'worker',
  },
  {
    what: 'the ruleset of the gateway is flushed',
    happens: async ({ gateway }) => void (await gateway.machine.must(['nft', 'flush', 'ruleset'])),
    where: 'gateway',
  },
  {
    what: 'the table of the gateway is deleted',
    happens: async ({ gateway }) => void (await gateway.machine.must(['nft', 'delete', 'table', 'inet', 'cni-egress'])),
    where: 'gateway',
  },
];

describe('nothing of a pod leaves, and all is counted where it is lost,', { ...labTest, concurrency: 4 }, () => {
  for (const { what, happens, cutsUplink, where } of losses) {
    for (const replyPath of where === 'gateway' ? replyPaths : replyPaths.slice(0, 1)) {
      test(`when ${what}, and pods are answered when it is mended (reply path "${replyPath}")`, async () => {
        await using lab = await Lab.create();
        const { cluster, pods, gateway, worker } = await started(lab, replyPath);
        const lost = where === 'worker' ? pods.slice(2) : pods.slice(1);
        const routes = await uplinkRoutes(gateway);
        const stop = await cluster.capture();
        const senders = await send(lost);
        await happens({ lab, gateway, worker });
        await senders.more();
        await senders.stop();
        const before = [await counts(worker), await unroutable(gateway)] as const;
        assert.deepEqual(await answers(lost), noAnswers(lost));
        await assertCounted(where, before, [await counts(worker), await unroutable(gateway)]);
        const packets = await stop();
        assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
        assert.notDeepEqual(packetsOutside(packets), [], 'packets left before it happened');
        if (cutsUplink) await plugBack(gateway, routes);
        await cluster.up(gateway);
        for (const [i, pod] of pods.entries()) assert.equal((await cluster.all[i]?.plugin('ADD', { pod }))?.code, 0);
        assert.deepEqual(await answers(pods), rightAnswers(pods));
      });
    }
  }
});

/** The two packets of each question are in the counters of the node or the kernel that lost them. */
async function assertCounted(
  where: Loss['where'],
  before: readonly [{ steered: number; dropped: number }, number],
  after: typeof before,
) {
  const [steered, dropped] = (['steered', 'dropped'] as const).map((key) => after[0][key] - before[0][key]);
  assert.ok(steered !== undefined && steered >= 2, `${steered} packets were steered`);
  assert.equal(dropped, where === 'worker' ? steered : 0);
  if (where === 'gateway') assert.ok(after[1] - before[1] >= 2, 'the gateway has no way for what was sent to it');
}

describe('an exit by a gateway with onUnavailable "node"', { ...labTest, concurrency: 4 }, () => {
  for (const { what, happens } of [
    ...losses.filter(({ where }) => where === 'worker'),
    { what: 'the route of every exit is removed', happens: ({ worker }: Ways) => removeExitRoutes(worker) },
  ]) {
    test(`leaves with the node’s address when ${what}, and others on the node do not leave`, async () => {
      await using lab = await Lab.create();
      const { cluster, pods, worker, gateway } = await started(lab, 'direct', oneWithFallback);
      const [, , pod] = pods;
      assert.deepEqual(await pod?.askEach('udp', world.excepted), world.exitAddress);
      assert.ok(pod);
      const senders = await send([pod]);
      await senders.more();
      await happens({ lab, gateway, worker });
      const stop = await cluster.capture();
      await senders.more();
      await senders.stop();
      assert.deepEqual(await pod.askEach('tcp'), worker.addresses('eth0'));
      const before = await counts(worker, 'partners');
      assert.deepEqual(await pod.askEach('udp', world.excepted), ['nothing', 'nothing']);
      const after = await counts(worker, 'partners');
      assert.deepEqual([after.steered - before.steered, after.dropped - before.dropped], [2, 2]);
      const packets = await stop();
      assert.deepEqual(ofPodsOutside(packets), [], 'established connections kept the address of the pod');
      assert.deepEqual(packetsTo(packets, ...world.excepted), []);
      assert.deepEqual(kinds(packets), newConnections(worker));
    });
  }
});

describe('an exit of the node itself with onUnavailable "node"', { ...labTest, concurrency: 4 }, () => {
  test('leaves with the node’s address when its interface is down, and another there does not leave', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const lenient = { ...partners, name: internet.name, onUnavailable: 'node' };
    await node.write({ egress: egressEntry({ ...oneWithFallback, exits: [lenient, partners] }) });
    const pod = await node.started();
    for (const services of [world.service, world.excepted])
      assert.deepEqual(await pod.askEach('udp', services), world.exitAddress);
    const senders = await send([pod]);
    await node.machine.ip('link set eth1 down');
    const capture = await node.capture();
    await senders.more();
    await senders.stop();
    assert.deepEqual(await pod.askEach('tcp'), node.addresses('eth0'));
    assert.deepEqual(await pod.askEach('udp', world.excepted), ['nothing', 'nothing']);
    assert.deepEqual(await counts(node, partners.name), { steered: 4, dropped: 2 });
    const packets = (await capture.stop()).map((packet) => ({ ...packet, node: node.number }));
    assert.deepEqual(ofPodsOutside(packets), []);
    assert.deepEqual(kinds(packetsFrom(packets, ...node.addresses('eth0'))), newConnections(node));
    assert.deepEqual(packetsTo(packets, ...world.excepted), []);
  });
});

/** A cluster with a pod on each node that was answered through the first gateway. */
async function started(lab: Lab, replyPath: ReplyPath, policy: Json = {}) {
  const cluster = await Cluster.create(lab, { replyPath });
  await cluster.policy(policy);
  const [[gateway], [worker]] = [cluster.gateways, cluster.workers];
  assert.ok(gateway && worker);
  await cluster.up(gateway);
  const pods = await cluster.startedOnEach();
  assert.deepEqual(await answers(pods), rightAnswers(pods));
  return { cluster, pods, gateway, worker };
}

/** Exits by one gateway of which only one may leave with the node's address, and what goes by the other. */
const oneWithFallback = {
  exits: [{ ...internet, onUnavailable: 'node' }, remotePartners],
  policies: [internetPolicy, { ...internetPolicy, name: 'strict', destinations: world.exceptions, exit: 'partners' }],
};

async function send(pods: readonly Pod[]) {
  const senders = await Promise.all(pods.map((pod) => pod.send(...world.service)));
  return {
    more: () => sentMore(...senders),
    stop: async () => void (await Promise.all(senders.map((sender) => sender.stop()))),
  };
}

const answers = (pods: readonly Pod[]) => Promise.all(pods.map((pod) => pod.askEach('udp')));
const rightAnswers = (pods: readonly Pod[]) => pods.map(() => internet.addresses);
const noAnswers = (pods: readonly Pod[]) => pods.map(() => ['nothing', 'nothing']);

const ofPodsOutside = (packets: readonly ClusterPacket[]) =>
  tally(packetsFrom(packetsOutside(packets), ...world.cluster).map(describeFromNode));

/** Each kind of packet that left to services. */
const kinds = (packets: readonly ClusterPacket[]) =>
  [...new Set(packetsTo(packets, ...world.service).map(describeFromNode))].toSorted();

const sent = (node: number, sources: readonly string[], what: readonly string[]): readonly string[] =>
  world.service
    .flatMap((service, i) =>
      what.map((kind) => {
        const [protocol, ...port] = kind.split(/(?= port)/);
        return `node${node} eth0 ${protocol} ${sources[i]} > ${service}${port}`;
      }),
    )
    .toSorted();

/** Every kind of packet that programs/send.py makes, as a gateway has to send it. */
const everythingThatIsSent = (node: number): readonly string[] =>
  sent(node, internet.addresses, ['icmp', 'tcp port 8080', 'tcp port 8081', 'udp port 9']);

/** Those of them that begin connections: what conntrack knew before has an address of its own, and stays with it. */
const newConnections = (node: LabNode): readonly string[] =>
  sent(node.number, node.addresses('eth0'), ['tcp port 8080', 'udp port 9']);

/** What a node has counted for an exit, as `egress status` tells it. */
async function counts(node: LabNode, exit: string = internet.name) {
  const { exits } = JSON.parse((await node.egress('status', '--json')).stdout);
  const { steered, dropped } = exits.find(({ name }: { name: string }) => name === exit);
  return { steered: Number(steered.packets), dropped: Number(dropped.packets) };
}

/** How many packets a kernel dropped because it had no way for them, of both families. */
async function unroutable({ machine }: LabNode): Promise<number> {
  const four = (await machine.must(['cat', '/proc/net/netstat']))
    .split('\n')
    .filter((line) => line.startsWith('IpExt:'));
  const [names = [], values = []] = four.map((line) => line.split(' '));
  const six = /^Ip6InNoRoutes\s+(\d+)/m.exec(await machine.must(['cat', '/proc/net/snmp6']))?.[1];
  return Number(values[names.indexOf('InNoRoutes')]) + Number(six);
}

async function uplinkRoutes({ machine }: LabNode): Promise<readonly string[]> {
  const both = ['-4', '-6'].map((family) => machine.must(['ip', family, 'route', 'show', 'dev', 'eth0']));
  const routes = (await Promise.all(both)).join('').split('\n');
  return routes.filter((route) => route.includes(' via ')).map((route) => `route replace ${route.trim()} dev eth0`);
}

/** Gives a node eth0 again, with what it loses when it goes down or away. */
async function plugBack(node: LabNode, routes: readonly string[]): Promise<void> {
  const addresses = node.addresses('eth0').map((address, i) => `address replace ${address}/${i ? 64 : 16} dev eth0`);
  await node.machine.ip('link set eth0 up', ...addresses, ...routes);
}

async function removeExitRoutes({ machine }: LabNode): Promise<void> {
  for (const family of ['-4', '-6']) {
    const routes = (await machine.must(['ip', family, 'route', 'show', 'table', 'all', 'dev', 'egress0'])).split('\n');
    for (const route of routes.filter((line) => line.startsWith('default'))) {
      await machine.must(['ip', family, 'route', 'delete', ...route.trim().split(' ').slice(0, 5), 'dev', 'egress0']);
    }
  }
}
