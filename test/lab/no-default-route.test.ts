import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry } from '../support/chain.ts';
import { Cluster, internetPolicy, remotePartners, replyPaths } from '../support/cluster.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import { ask, type Pod, protocols } from '../support/pod.ts';
import { world } from '../support/world.ts';

const four = world.service[0];

/** The node of an air-gapped site: of IPv4 the exit alone leads out, and reverse path filters are strict everywhere. */
async function isolate({ machine }: LabNode): Promise<void> {
  await machine.sysctl({ 'net.ipv4.conf.all.rp_filter': 1 });
  await machine.ip(`route delete default via ${world.front.gateway[0]}`);
}

const giveDefault = ({ machine }: LabNode) => machine.ip(`route add default via ${world.front.gateway[0]}`);

/** All of the node that others may have set, or may use. */
async function settingsOf({ machine }: LabNode): Promise<readonly string[]> {
  const names = 'net.ipv4.conf.(eth0|eth1|all).(rp_filter|src_valid_mark)';
  return [
    await machine.must(['sysctl', '-a', '-r', names.replaceAll('.', '\\.')]),
    await machine.must(['ip', 'rule']),
    (await machine.must(['ip', 'route', 'show', 'table', 'all'])).replaceAll(' linkdown', ''),
    await machine.must(['nft', 'list', 'tables']),
  ];
}

/** How many packets reverse path filters have dropped. */
async function filtered({ machine }: LabNode): Promise<number> {
  const said = await machine.must(['nstat', '-asz', 'TcpExtIPReversePathFilter']);
  return Number(/IPReversePathFilter\s+(\d+)/.exec(said)?.[1]);
}

async function sentence(node: LabNode, pod: Pod): Promise<string> {
  const { stdout } = await node.egress('explain', pod.addresses[0] ?? '', `tcp/${four}:8080`, '--json');
  return (JSON.parse(stdout) as readonly { sentence: string }[])[0]?.sentence ?? '';
}

const leaves = /leaves by exit "partners" \(eth1, next hop [^)]*\) with [0-9.]+\.$/;

describe('on a node without a default route', labTest, () => {
  test('answers arrive though reverse path filters are on, and the last DEL puts everything back', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await isolate(node);
    await node.settle();
    const before = await settingsOf(node);
    const pod = await node.started();
    const capture = await node.capture();
    for (const protocol of protocols) assert.deepEqual(await pod.askEach(protocol), seenBy(protocol));
    assert.deepEqual(leaks(await capture.stop()), []);
    assert.deepEqual([(await node.egress('check')).code, (await node.cnitool('check', pod)).code], [0, 0]);
    assert.match(await sentence(node, pod), leaves);
    const listed = await node.machine.must(['nft', 'list', 'table', 'inet', 'cni-egress']);
    assert.match(listed, /iifname "eth1" .* fib daddr oif exists meta mark set /);
    await node.end(pod);
    assert.deepEqual(await settingsOf(node), before);
  });

  test('what is no answer passes the filter of the exit’s interface no more than before', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await isolate(node);
    const pod = await node.started();
    assert.equal(await pod.ask('udp', four), world.exitAddress[0]);
    await pod.serve();
    const via = world.exitAddress[0]; // a neighbour by now: the filter drops questions of ARP as well
    await lab.back.host.ip(`address add ${four}/32 dev lo`, `route add 10.0.0.0/24 via ${via} src ${four}`);
    const before = await filtered(node);
    assert.equal(await ask(lab.back.host, 'udp', pod.addresses[0] ?? ''), 'nothing');
    assert.ok((await filtered(node)) > before);
  });

  test('answers arrive after another bit of the mark was chosen', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await isolate(node);
    const pod = await node.started();
    await node.write({ egress: egressEntry({ fwmark: '0x20000000' }) });
    const other = await node.started();
    for (const each of [pod, other]) assert.deepEqual(await each.askEach('udp'), world.exitAddress);
    assert.equal((await node.egress('check')).code, 0);
  });

  for (const replyPath of replyPaths) {
    test(`that is a gateway with the reply path "${replyPath}", answers arrive for its own pods and those of others`, async () => {
      await using lab = await Lab.create();
      const cluster = await Cluster.create(lab, { replyPath });
      const [gateway = assert.fail()] = cluster.gateways;
      await cluster.policy({
        exits: [{ ...remotePartners, gateways: [cluster.end(gateway)] }],
        policies: [{ ...internetPolicy, exit: remotePartners.name }],
      });
      await isolate(gateway);
      const before = await settingsOf(gateway);
      await cluster.up(gateway);
      const pods = await cluster.startedOnEach();
      for (const pod of pods) assert.deepEqual(await pod.askEach('udp'), remotePartners.addresses);
      for (const pod of pods) assert.deepEqual(await pod.askEach('tcp'), remotePartners.addresses);
      const checked = await gateway.egress('check');
      assert.equal(checked.code, 0, checked.stdout);
      for (const [i, pod] of pods.entries()) await cluster.all[i]?.end(pod);
      await cluster.down(gateway);
      const [filters] = await settingsOf(gateway);
      assert.equal(filters, before[0]);
      assert.doesNotMatch((await settingsOf(gateway)).join(), /proto 230/);
    });
  }

  test('whose pods leave by another node, answers are dropped, and check and explain say so', async () => {
    await using lab = await Lab.create();
    const cluster = await Cluster.create(lab);
    await cluster.up();
    const [worker = assert.fail()] = cluster.workers;
    await isolate(worker);
    const pod = await worker.started();
    assert.equal(await pod.ask('tcp', four), 'nothing');
    const said =
      /the reverse path filter of eth0 drops them, since this node has no route to where they come from: give/;
    assert.match(await sentence(worker, pod), said);
    assert.match((await worker.egress('check')).stdout, said);
  });
});

describe('a default route that', labTest, () => {
  test('goes while pods run is missed by CHECK, explain and status, and egress repair makes up for it until it is back', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.started();
    const chains = () => node.machine.must(['nft', 'list', 'table', 'inet', 'cni-egress']);
    assert.doesNotMatch(await chains(), /-back \{/);
    await isolate(node);
    assert.equal(await pod.ask('tcp', four), 'nothing');
    assert.match(await sentence(node, pod), /its answers are dropped: the reverse path filter of eth1 drops them/);
    assert.match((await node.egress('check')).stdout, /answers by exit "partners" do not arrive/);
    assert.match((await node.egress('status')).stdout, /^Exit "partners" is not as it should be/m);
    assert.equal((await node.egress('repair')).code, 0);
    assert.equal(await pod.ask('tcp', four), world.exitAddress[0]);
    assert.match(await sentence(node, pod), leaves);
    await giveDefault(node);
    assert.equal(await pod.ask('tcp', four), world.exitAddress[0]);
    assert.equal((await node.egress('check')).code, 0);
    await node.egress('repair');
    assert.doesNotMatch(await chains(), /-back \{/);
    assert.equal(await pod.ask('tcp', four), world.exitAddress[0]);
  });

  // As VPN clients and administrators set it, so that nothing goes out beside the tunnel.
  for (const type of ['unreachable', 'blackhole', 'prohibit']) {
    test(`is "${type}" lets no answer in, and check and explain say so`, async () => {
      await using lab = await Lab.create();
      const node = await lab.node();
      await isolate(node);
      await node.machine.ip(`route add ${type} default metric 4278198272`);
      const pod = await node.started();
      assert.equal(await pod.ask('tcp', four), 'nothing');
      const said = new RegExp(`has a route "${type}" to where they come from: take that away`);
      assert.match(await sentence(node, pod), said);
      assert.match((await node.egress('check')).stdout, said);
    });
  }
});

const seenBy = (protocol: string): readonly string[] =>
  protocol === 'icmp' ? world.service.map(() => 'reply') : world.exitAddress;
