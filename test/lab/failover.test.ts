import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Cluster, internet, internetPolicy, policyFile, type ReplyPath, remotePartners } from '../support/cluster.ts';
import { Connections, Partner, type Round, type Way } from '../support/connections.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Pod } from '../support/pod.ts';
import { hardwareAddress, world } from '../support/world.ts';

type Uplink = 'eth0' | 'eth1';

/** With port blocks pods may have the same ports: on their own nodes they get others, which each gateway keeps. */
const portsPerPod = 1024;

/** Uplinks that gateways send out of do not care how answers reach pods: each is tested with one of the ways. */
const ways = [
  { replyPath: 'direct', uplink: 'eth1' },
  { replyPath: 'tunnel', uplink: 'eth0' },
  { replyPath: 'direct', uplink: 'eth0', portsPerPod },
  { replyPath: 'tunnel', uplink: 'eth1', portsPerPod },
] as const satisfies readonly { replyPath: ReplyPath; uplink: Uplink; portsPerPod?: number }[];

for (const { replyPath, uplink, ...options } of ways) {
  const kind = 'portsPerPod' in options ? ' from pods with the same ports and blocks of their own' : '';
  describe(`100 connections through ${uplink}${kind}, with the reply path "${replyPath}"`, labTest, () => {
    test('survive a move of the exit, and its move back, whoever speaks on them; nothing leaves in a wrong way', async (t) => {
      await using setup = await started(replyPath, uplink, options);
      const { cluster, exit, pods, gateways, partner } = setup;
      const stop = await cluster.capture();
      const all = await opened(pods, { echo: 9, download: 8, idle: 8 });
      await assertGoOn(t, setup, all, 'before the move');
      for (const to of gateways.toReversed()) {
        await cluster.move(exit.name, to);
        await assertNeighbours(setup, to);
        await assertGoOn(t, setup, all, `of the move to node${to.number}`);
      }
      assert.deepEqual(partner.broken, []);
      assert.deepEqual(cluster.leaks(await stop(), exit.addresses), []);
    });
  });
}

describe('a gateway that died', labTest, () => {
  test('is replaced by a move on the others, and connections of their pods go on', async (t) => {
    await using setup = await started('direct', 'eth0');
    const { cluster, exit, pods, gateways, partner } = setup;
    const [first, second] = gateways;
    const stop = await cluster.capture();
    const all = await opened(pods.slice(1), { echo: 12, download: 11, idle: 11 });
    await assertGoOn(t, setup, all, 'before the crash');
    await crash(setup, first);
    for (const node of [second, ...cluster.workers]) await moveOn(node, exit.name, second);
    await assertNeighbours(setup, second);
    await assertGoOn(t, setup, all, 'from the crash on');
    assert.deepEqual(partner.broken, []);
    assert.deepEqual(cluster.leaks(await stop(), exit.addresses), []);
  });
});

describe('connections that no exit is for', labTest, () => {
  test('go on when an exit moves, and conntrack keeps what it knows of them', async () => {
    await using setup = await started('direct', 'eth0');
    const { cluster, exit, pods, gateways } = setup;
    const targets = await targetsOutsideOfThePolicy(setup);
    const all = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 2 * targets.length, targets)));
    const steered = await Promise.all(pods.map((pod) => Connections.open(pod, 'echo', 2)));
    const before = await flows(setup, targets);
    // At the pod's own node, and for pods on other nodes there too.
    assert.ok(
      pods.every((_, i) => (before[i]?.length ?? 0) >= 2 * targets.length),
      JSON.stringify(before),
    );
    for (const to of gateways.toReversed()) {
      await cluster.move(exit.name, to);
      assertGoesOn(await rounds(steered), exit.addresses);
      const found = await rounds(all);
      assertGoesOn(
        found,
        found.flatMap(({ peers }) => peers),
      );
      assert.deepEqual(await flows(setup, targets), before);
    }
  });
});

/** A cluster of two gateways and two workers, with a pod on each, and a partner where the exit leads to. */
async function started(replyPath: ReplyPath, uplink: Uplink, options: { readonly portsPerPod?: number } = {}) {
  const lab = await Lab.create();
  try {
    const exit = uplink === 'eth0' ? internet : remotePartners;
    const cluster = await Cluster.create(lab, { nodes: [3, 4, 5, 6], replyPath });
    const policies = [{ ...internetPolicy, exit: exit.name, except: world.exceptions }];
    await cluster.policy({ exits: [{ ...exit, ...options }], policies });
    await cluster.up();
    const host = uplink === 'eth0' ? lab.front.host : lab.back.host;
    const [partner, pods] = await Promise.all([Partner.start(host), cluster.startedOnEach()]);
    await Promise.all(pods.map(({ network }, i) => network.sysctl(portsOf(options.portsPerPod ? 0 : i))));
    const [first, second] = cluster.gateways;
    assert.ok(first && second);
    const dispose = async () => lab.remove();
    return {
      lab,
      cluster,
      exit,
      uplink,
      host,
      partner,
      pods,
      gateways: [first, second],
      [Symbol.asyncDispose]: dispose,
    } as const;
  } catch (error) {
    lab.remove();
    throw error;
  }
}

/**
 * Each pod has ports of its own. A gateway that meets the same one of two pods, towards the same destination, gives
 * one of them another; to which, the next gateway cannot know, and that connection would end.
 */
const portsOf = (pod: number) => ({
  'net.ipv4.ip_local_port_range': `${20_000 + 1000 * pod} ${20_999 + 1000 * pod}`,
});

type Setup = Awaited<ReturnType<typeof started>>;

/** Connections of each kind. */
type Opened = Readonly<Record<Way, readonly Connections[]>>;

/** So many connections of each kind from each of the pods. */
async function opened(pods: readonly Pod[], counts: Readonly<Record<Way, number>>): Promise<Opened> {
  const open = (way: Way) => Promise.all(pods.map((pod) => Connections.open(pod, way, counts[way])));
  const [echo, download, idle] = await Promise.all([open('echo'), open('download'), open('idle')]);
  return { echo, download, idle };
}

/** All go on; on the idle ones the other end speaks first. */
async function assertGoOn(t: TestContext, setup: Setup, all: Opened, when: string): Promise<void> {
  const { exit, partner } = setup;
  const [echo, download] = await Promise.all([rounds(all.echo), rounds(all.download)]);
  t.diagnostic(`longest gap ${when}: echo ${longestGap(echo)} ms, download ${longestGap(download)} ms`);
  const later = rounds(all.idle);
  partner.speak();
  assertGoesOn([...echo, ...download, ...(await later)], exit.addresses);
}

const longestGap = (found: readonly Round[]): number => Math.max(...found.map(({ gap }) => gap));

const rounds = (all: readonly Connections[]) => Promise.all(all.map((connections) => connections.round()));

/** None is broken, lines came on each, and the other end saw nothing but these addresses. */
function assertGoesOn(found: readonly Round[], addresses: readonly string[]): void {
  assert.deepEqual(
    {
      broken: found.flatMap(({ broken }) => broken),
      silent: found.flatMap(({ silent }) => silent),
      peers: new Set(found.flatMap(({ peers }) => peers)),
    },
    { broken: [], silent: [], peers: new Set(addresses) },
  );
  assert.ok(found.every(({ moved }) => moved > 0));
}

async function moveOn(node: LabNode, exit: string, to: LabNode): Promise<void> {
  const [address] = to.addresses('eth0');
  const { code, stderr } = await node.egress('exit', 'move', exit, '--to', address, '--policy', policyFile);
  assert.equal(code, 0, stderr);
}

/** The outside host sends what is for the egress addresses to this node. */
async function assertNeighbours({ exit, uplink, host }: Setup, node: LabNode): Promise<void> {
  const mac = hardwareAddress(node.addresses(uplink));
  for (const address of exit.addresses) {
    assert.match(await host.must(['ip', 'neigh', 'show', address, 'dev', 'eth0']), new RegExp(` lladdr ${mac} `));
  }
}

/** Takes the cables out. */
async function crash({ lab }: Setup, { number }: LabNode): Promise<void> {
  for (const { namespace } of [lab.front, lab.back]) await namespace.ip(`link set node${number} down`);
}

/** Partners at what the policy leaves out: excepted addresses, a pod on a worker, and a node. */
async function targetsOutsideOfThePolicy({ cluster, pods }: Setup): Promise<readonly string[]> {
  const [pod, node] = [pods.at(-1), cluster.workers[0]];
  assert.ok(pod && node);
  await Promise.all([Partner.start(pod.network), Partner.start(node.machine)]);
  return [...world.excepted, ...pod.addresses, ...node.addresses('eth0')];
}

/**
 * What conntrack of each node knows of connections to these addresses: all but what changes with each packet. `use` is
 * two while a packet of the connection is on its way through the node.
 */
async function flows({ cluster }: Setup, targets: readonly string[]): Promise<readonly (readonly string[])[]> {
  const listed = cluster.all.map(async ({ machine }) => {
    const lists = ['ipv4', 'ipv6'].map((family) =>
      machine.must(['conntrack', '-L', '-p', 'tcp', '--dport', '8082', '-f', family, '-o', 'id']),
    );
    const lines = (await Promise.all(lists)).join('').split('\n');
    return lines
      .filter((line) => targets.some((target) => line.includes(` dst=${target} sport`)))
      .map((line) => line.replace(/^tcp +6 \d+ /, '').replace(/ use=\d+/, ''))
      .toSorted();
  });
  return Promise.all(listed);
}
