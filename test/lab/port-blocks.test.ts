import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultNetwork, egressEntry, partners, policy } from '../support/chain.ts';
import { Cluster, internet, policyFile } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import { assertMended, assertNamed } from '../support/mending.ts';
import { deleteRule, nft, table } from '../support/nft.ts';
import type { LabNode } from '../support/node.ts';
import { packetsTo } from '../support/packets.ts';
import type { Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { world } from '../support/world.ts';

/** A port that pods send from in these tests: all the same one. */
const podPort = 45_000;

describe('pods on a node whose local exit gives each 1024 source ports', labTest, () => {
  test('leave by TCP, UDP and IPv4, IPv6 with ports of their own block, and `egress who` names the pod for each', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    for (const pod of await startedOn(node, 3)) {
      const { ports } = await recordOf(node, pod);
      assert.equal(ports.length, 1);
      for (const protocol of ['tcp', 'udp'] as const) {
        const seen = (await pod.askFromPort(podPort, protocol)).map((text) => text.split(' '));
        assert.deepEqual(
          seen.map(([address]) => address),
          partners.addresses,
        );
        for (const [address = '', port = ''] of seen) {
          assert.ok(isWithin(ports[0], port), `${address} ${port} is not in ${JSON.stringify(ports)}`);
          assert.deepEqual(await who(node, address, port), [pod.name]);
        }
      }
    }
  });

  test('leave with them also from a pod that has IPv6 alone', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    await node.write({ ...node.network('cluster'), ranges: defaultNetwork.ranges.slice(1) });
    const [pod] = await startedOn(node, 1);
    assert.equal(pod.addresses.length, 1);
    const { ports } = await recordOf(node, pod);
    const [seen = ''] = await pod.askFromPort(podPort, 'tcp', [world.service[1]]);
    assert.match(seen, new RegExp(`^${partners.addresses[1]} `));
    assert.ok(isWithin(ports[0], seen.split(' ')[1]), seen);
    assert.deepEqual(await who(node, partners.addresses[1], seen.split(' ')[1] ?? ''), [pod.name]);
  });

  test('ping with numbers of their block, and a port of it stays what it is', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    const [first, second] = await startedOn(node, 2);
    assert.deepEqual(await second.askEach('icmp'), ['reply', 'reply']);
    const { ports } = await recordOf(node, second);
    const flows = await node.machine.must(['conntrack', '-L', '-p', 'icmp']);
    const ids = [...flows.matchAll(/dst=192\.168\.0\.245 type=0 code=0 id=(\d+)/g)].map(([, id]) => id);
    assert.ok(ids.length > 0 && ids.every((id) => isWithin(ports[0], id)), flows);
    const own = (await recordOf(node, first)).ports[0];
    assert.deepEqual(
      await first.askFromPort(own.first + 7, 'udp'),
      partners.addresses.map((address) => `${address} ${own.first + 7}`),
    );
  });

  test('keep their block when ADD is repeated, and a new pod never gets one that is taken', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    const [first, second] = await startedOn(node, 2);
    const before = await recordOf(node, second);
    await node.end(first);
    await again(node, second);
    assert.deepEqual((await recordOf(node, second)).ports, before.ports);
    const third = await node.started();
    assert.deepEqual((await recordOf(node, third)).ports, [{ exit: 'partners', first: 1024, last: 2047 }]);
  });

  test('find their chain, its rules and their element missing by CHECK, and have them back by ADD', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    const [pod] = await startedOn(node, 1);
    const [address = ''] = pod.addresses;
    const whole = await snapshot(node);
    const chain = `ports-${await exitId(node)}-${address}`;
    await deleteRule(node, chain, 'meta l4proto udp');
    await assertNamed(node, pod, `rule 3 of chain ${chain}`, 'meta l4proto udp snat ip to');
    await assertMended(node, pod, whole);
    await nft(node, `delete element ${table} blocks4 { ${await exitId(node)} . ${address} }`);
    await assertNamed(node, pod, `element ${await exitId(node)} . ${address} of blocks4`);
    await assertMended(node, pod, whole);
  });

  test('leave nothing behind when the last one ends', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    await node.settle();
    const before = await snapshot(node);
    for (const pod of await startedOn(node, 2)) {
      await pod.askEach('udp');
      await node.end(pod);
    }
    assertUnchanged(before, await snapshot(node));
  });

  test('get no ports when all are taken: ADD says how many there are, leaves nothing, and works when one is free', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, { portsPerPod: 32_256 });
    const [first] = await startedOn(node, 2);
    const [records, ruleset] = [await node.records(), await nft(node, `list table ${table}`)];
    const third = await node.pod();
    const refused = await node.cnitool('add', third);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stdout + refused.stderr,
      /Exit \\?"partners\\?" gives each pod 32256 source ports\. An address has 2 such blocks, and all are taken/,
    );
    assert.deepEqual(await node.records(), records);
    assert.equal(withoutCounters(await nft(node, `list table ${table}`)), withoutCounters(ruleset));
    await Promise.all([node.end(first), node.del(third)]);
    await node.add(third);
    assert.deepEqual(await third.askEach(), partners.addresses);
  });

  test('are refused to one more pod of a namespace that has as many as it may: others still get some', async () => {
    await using lab = await Lab.create();
    const policies = [{ ...policy.policies[0], namespaces: ['red', 'blue'] }];
    const node = await nodeWith(lab, { portBlocksPerNamespace: 2 }, [], { policies });
    const [first, second] = [await node.started('red'), await node.started('red')];
    const third = await node.withoutEgress(() => node.started('red'));
    const before = await snapshot(node);
    const { code, json } = await node.plugin('ADD', { pod: third });
    assert.equal(code, 1);
    const { code: number, details } = json as { code: number; details: string };
    assert.equal(number, 117);
    assert.match(details, /^Exit "partners" gives .* at most 2 blocks .*, and pods of namespace "red" have 2\. /);
    assertUnchanged(before, await snapshot(node));
    await again(node, second);
    const other = await node.started('blue');
    assert.deepEqual(await other.askEach(), world.exitAddress);
    await node.end(first);
    await again(node, third);
    assert.deepEqual(await third.askEach(), world.exitAddress);
  });

  test('never get the same when they start at once', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab, { portsPerPod: 4096 });
    const pods = await Promise.all(Array.from({ length: 10 }, () => node.pod()));
    await Promise.all(pods.map((pod) => node.add(pod)));
    const blocks = await Promise.all(pods.map(async (pod) => (await recordOf(node, pod)).ports[0].first));
    assert.deepEqual(
      blocks.toSorted((a, b) => a - b),
      pods.map((_, i) => 1024 + 4096 * i),
    );
  });

  test('have none left when GC took down a pod that died: the next one gets them', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    const [dead, alive] = await startedOn(node, 2);
    const before = await snapshot(node);
    const { code, stdout } = await node.plugin('GC', {
      config: {
        cniVersion: '1.1.0',
        'cni.dev/valid-attachments': [{ containerID: alive.containerID, ifname: 'eth0' }],
      },
    });
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(await nft(node, `list table ${table}`), new RegExp(`ports-\\d+-${dead.addresses[0]} `));
    assert.notDeepEqual(await snapshot(node), before);
    assert.equal((await recordOf(node, await node.started())).ports[0].first, 1024);
    assert.equal((await recordOf(node, alive)).ports[0].first, 2048);
  });

  test('have them back by ADD after our tables were deleted, and the others, too', async () => {
    await using lab = await Lab.create();
    const node = await nodeWith(lab);
    const pods = await startedOn(node, 2);
    const lines = async () =>
      withoutCounters(await nft(node, `list table ${table}`))
        .split('\n')
        .toSorted();
    const whole = await lines();
    for (const family of ['inet', 'netdev']) await nft(node, `delete table ${family} cni-egress`);
    for (const pod of pods) await again(node, pod);
    assert.deepEqual(await lines(), whole);
    const [, second] = pods;
    assert.deepEqual(
      await second.askFromPort(2050, 'udp'),
      partners.addresses.map((address) => `${address} 2050`),
    );
  });

  test('share blocks between addresses: as many pods as all addresses have blocks', async () => {
    await using lab = await Lab.create();
    const addresses = ['192.168.0.245', '192.168.0.246'];
    const options = { portsPerPod: 32_256, addresses, nextHop: '192.168.0.1' };
    const node = await nodeWith(lab, options, ['192.168.0.246/24']);
    const seen: string[] = [];
    // Each has its address by its own: a few more than four are needed for four to fit.
    for (let i = 0; i < 16 && seen.length < 4; i++) {
      const pod = await node.pod();
      if ((await node.cnitool('add', pod)).code === 0)
        seen.push(...(await pod.askFromPort(podPort, 'udp', ['203.0.113.9'])));
    }
    assert.deepEqual(new Set(seen.map((text) => text.split(' ')[0])), new Set(addresses));
    assert.equal(new Set(seen).size, 4);
  });
});

describe('pods of a gateway exit that gives each 1024 source ports', labTest, () => {
  test('have a port of their own outside whatever node they are on; the gateway keeps it, and every node knows who it is', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.policy({ exits: [{ ...internet, gateways: ['172.18.0.3', '172.18.0.4'], portsPerPod: 1024 }] });
    await cluster.up();
    const pods = await cluster.startedOnEach();
    const stop = await cluster.capture();
    const seen = await Promise.all(pods.map((pod) => pod.askFromPort(podPort, 'udp')));
    const packets = await stop();
    assert.equal(new Set(seen.flat()).size, 2 * pods.length);
    for (const [i, node] of cluster.all.entries()) {
      const { ports } = await recordOf(node, pods[i]);
      for (const text of seen[i] ?? []) {
        const [address = '', port = ''] = text.split(' ');
        assert.ok(internet.addresses.some((own) => own === address) && isWithin(ports[0], port), text);
        assert.deepEqual(await who(node, address, port), [pods[i]?.name]);
        const [gateway] = cluster.gateways;
        if (gateway && gateway !== node) {
          const asked = await gateway.egress('who', seenAs(address, port), '--policy', policyFile);
          assert.match(asked.stdout, new RegExp(`belongs to a pod on node ${cluster.end(node)}, by exit "internet"`));
          assert.ok(
            pods[i]?.addresses.some((own) => asked.stdout.includes(`A connection from ${own} port ${port} `)),
            asked.stdout,
          );
        }
      }
    }
    assert.deepEqual(cluster.leaks(packets, internet.addresses), []);
    assert.ok(packetsTo(packets, ...world.service).length > 0);
  });

  test('leave with them alone: what conntrack does not know, and so has another port, does not get into the tunnel', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.policy({ exits: [{ ...internet, gateways: ['172.18.0.3', '172.18.0.4'], portsPerPod: 1024 }] });
    await cluster.up();
    const [worker] = cluster.workers;
    assert.ok(worker);
    const pod = await worker.started();
    assert.equal((await pod.askFromPort(podPort, 'udp')).includes('nothing'), false);
    await nft(worker, 'add table inet other');
    await nft(worker, 'add chain inet other early { type filter hook prerouting priority -300; }');
    await nft(worker, `add rule inet other early udp sport ${podPort} notrack`);
    const stop = await cluster.capture();
    assert.deepEqual(await pod.askFromPort(podPort, 'udp'), ['nothing', 'nothing']);
    assert.deepEqual(packetsTo(await stop(), ...world.service), []);
  });

  test('have the same chain at home wherever the exit leaves, and CHECK is content on every node after each move', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.policy({ exits: [{ ...internet, gateways: ['172.18.0.3', '172.18.0.4'], portsPerPod: 1024 }] });
    await cluster.up();
    const pods = await cluster.startedOnEach();
    const [first, second] = cluster.gateways;
    assert.ok(first && second);
    const chains = () => Promise.all(cluster.all.map(portChains));
    const before = await chains();
    for (const [i, gateway] of [second, first].entries()) {
      await cluster.move(internet.name, gateway);
      // Each time from another port: a connection that has just ended still has its own.
      const seen = await Promise.all(pods.map((pod) => pod.askFromPort(podPort + i, 'tcp')));
      for (const [i, node] of cluster.all.entries()) {
        const checked = await node.egress('check');
        assert.equal(checked.code, 0, checked.stdout);
        const { ports } = await recordOf(node, pods[i]);
        assert.ok(
          seen[i]?.every((text) => isWithin(ports[0], text.split(' ')[1])),
          String(seen[i]),
        );
      }
      for (const [i, rules] of (await chains()).entries()) {
        const isHere = cluster.all[i] === gateway;
        assert.ok(rules.length === 8 && rules.every((rule) => rule.includes('"egress0"') !== isHere), rules.join('\n'));
      }
    }
    assert.deepEqual(await chains(), before);
  });

  test('on a node that is not in `nodes` do not start: the node has no share', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    const [worker] = cluster.workers;
    assert.ok(worker);
    const nodes = cluster.gateways.map((node) => ({ address: cluster.end(node) }));
    const tunnel = { allowedSources: ['172.18.0.0/16'] };
    await cluster.policy({ nodes, tunnel, exits: [{ ...internet, gateways: ['172.18.0.3'], portsPerPod: 1024 }] });
    const refused = await worker.cnitool('add', await worker.pod());
    assert.equal(refused.code, 1);
    assert.match(refused.stdout + refused.stderr, /this node's address 172\.18\.0\.5 is not in nodes/);
    assert.deepEqual(await worker.records(), ['lock']);
  });
});

/** A node whose exit gives pods ports of their own. `more` are addresses of its eth1. */
async function nodeWith(
  lab: Lab,
  changes: object = {},
  more: readonly string[] = [],
  others: object = {},
): Promise<LabNode> {
  const node = await lab.node();
  if (more.length > 0) await node.machine.ip(...more.map((address) => `address add ${address} dev eth1`));
  const egress = egressEntry({ ...policy, exits: [{ ...partners, portsPerPod: 1024, ...changes }], ...others });
  await node.write({ egress });
  return node;
}

async function startedOn(node: LabNode, count: 1): Promise<[Pod]>;
async function startedOn(node: LabNode, count: 2): Promise<[Pod, Pod]>;
async function startedOn(node: LabNode, count: number): Promise<Pod[]>;
async function startedOn(node: LabNode, count: number): Promise<Pod[]> {
  const pods: Pod[] = [];
  for (let i = 0; i < count; i++) pods.push(await node.started());
  return pods;
}

type Block = { readonly exit: string; readonly first: number; readonly last: number };

async function recordOf(node: LabNode, pod: Pod | undefined): Promise<{ readonly ports: [Block, ...Block[]] }> {
  const name = (await node.records()).find((file) => file.includes(pod?.containerID ?? '?')) ?? 'none';
  const path = `/var/lib/cni/egress/attachments/${name}`;
  return JSON.parse(await node.machine.must(['cat', path]));
}

const isWithin = (block: Block | undefined, port: string | undefined): boolean =>
  block !== undefined && block.first <= Number(port) && Number(port) <= block.last;

/** The rules that give pods on a node their ports, in the words of nft. */
async function portChains(node: LabNode): Promise<string[]> {
  const text = await nft(node, `list table ${table}`);
  return text.split('\n').filter((line) => /snat ip6? to .*:\d+-\d+/.test(line));
}

const seenAs = (address: string, port: string) => `${address.includes(':') ? `[${address}]` : address}:${port}`;

/** Names of the pods that the node takes for the owners of an address and port. */
async function who(node: LabNode, address: string, port: string): Promise<string[]> {
  const inCluster = (await node.machine.run(['test', '-e', policyFile])).code === 0 ? ['--policy', policyFile] : [];
  const { code, stdout, stderr } = await node.egress('who', seenAs(address, port), '--json', ...inCluster);
  assert.equal(code, 0, stderr);
  const { pods } = JSON.parse(stdout) as { pods: { pod: { name: string } }[] };
  return pods.map(({ pod }) => pod.name);
}

/** ADD of egress alone, once more. */
async function again(node: LabNode, pod: Pod): Promise<void> {
  const { code, stdout } = await node.plugin('ADD', { pod });
  assert.equal(code, 0, stdout);
}

async function exitId(node: LabNode): Promise<number> {
  const { exits } = JSON.parse((await node.egress('status', '--json')).stdout) as { exits: { id: number }[] };
  return exits[0]?.id ?? 0;
}

const withoutCounters = (text: string) => text.replace(/packets \d+ bytes \d+/g, '');
