import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { egressEntry, partners, primaries } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import { leaks } from '../support/packets.ts';
import { ask, type Pod, type Protocol, protocols } from '../support/pod.ts';
import { serve, world } from '../support/world.ts';

/** Steers pods of `default` wherever they go, so that only what must never be steered is left out. */
const everywhere = egressEntry({
  policies: [{ name: 'everywhere', namespaces: ['default'], except: world.exceptions, exit: partners.name }],
});

/** Cluster addresses of services, as kube-proxy would make them, and who answers behind them. */
const services = {
  outside: ['10.96.0.10', 'fd00:96::10'],
  excepted: ['10.96.0.11', 'fd00:96::11'],
  pod: ['10.96.0.12', 'fd00:96::12'],
};

for (const primary of primaries) {
  describe(`a pod after ${primary} whose policy is about all destinations`, labTest, () => {
    test('reaches other pods with its own address', async () => {
      await using lab = await Lab.create();
      const { pod, other } = await steeredAndOther(await nodeWith(lab, primary));
      await other.serve();
      for (const protocol of protocols) {
        assert.deepEqual(await answers(pod, protocol, other.addresses), expected(protocol, pod.addresses));
      }
    });

    test('reaches its node, at every address of it, with its own address', async () => {
      await using lab = await Lab.create();
      const node = await nodeWith(lab, primary);
      const { pod } = await steeredAndOther(node);
      await serve(node.machine);
      const gateways = pod.result?.ips.map((ip) => ip.gateway ?? '') ?? [];
      for (const addresses of [node.addresses('eth0'), node.addresses('eth1'), world.exitAddress, gateways]) {
        for (const protocol of protocols) {
          assert.deepEqual(await answers(pod, protocol, addresses), expected(protocol, pod.addresses), `${addresses}`);
        }
      }
    });

    test('reaches excepted destinations with the address of the node, and all others with that of the exit', async () => {
      await using lab = await Lab.create();
      const node = await nodeWith(lab, primary);
      const { pod } = await steeredAndOther(node);
      assert.deepEqual(await answers(pod, 'tcp', world.excepted), node.addresses('eth0'));
      assert.deepEqual(await answers(pod, 'tcp', world.service), world.exitAddress);
      assert.deepEqual(await answers(pod, 'udp', world.back.host), world.exitAddress);
    });

    test('goes through a service by where the service really leads', async () => {
      await using lab = await Lab.create();
      const node = await nodeWith(lab, primary);
      const { pod, other } = await steeredAndOther(node);
      await other.serve();
      await provide(node, services.outside, world.service);
      await provide(node, services.excepted, world.excepted);
      await provide(node, services.pod, other.addresses);
      const capture = await node.capture();
      assert.deepEqual(await answers(pod, 'tcp', services.outside, 80), world.exitAddress);
      assert.deepEqual(leaks(await capture.stop()), []);
      assert.deepEqual(await answers(pod, 'tcp', services.excepted, 80), node.addresses('eth0'));
      assert.deepEqual(await answers(pod, 'tcp', services.pod, 80), pod.addresses);
    });

    test('is reached from outside through either uplink, and answers the way it was asked', async () => {
      await using lab = await Lab.create();
      const node = await nodeWith(lab, primary);
      const { pod } = await steeredAndOther(node);
      await pod.serve();
      for (const fabric of [lab.front, lab.back]) {
        const { interface: uplink, gateway, host } = world[fabric.name];
        const [via4, via6] = node.addresses(uplink);
        await fabric.host.ip(`route add 10.0.0.0/24 via ${via4}`, `route add fd00:10::/64 via ${via6}`);
        for (const protocol of protocols) {
          const seen = await Promise.all(pod.addresses.map((address) => ask(fabric.host, protocol, address)));
          const right: readonly string[] = protocol === 'icmp' ? ['reply'] : [...gateway, ...host];
          assert.deepEqual(
            seen.filter((address) => !right.includes(address)),
            [],
            `${protocol} from ${fabric.name}`,
          );
        }
      }
    });

    test('is reached from its node', async () => {
      await using lab = await Lab.create();
      const node = await nodeWith(lab, primary);
      const { pod } = await steeredAndOther(node);
      await pod.serve();
      const gateways = pod.result?.ips.map((ip) => ip.gateway ?? '') ?? [];
      const got = await Promise.all(pod.addresses.map((address) => ask(node.machine, 'tcp', address)));
      assert.deepEqual(got, gateways);
    });
  });
}

async function nodeWith(lab: Lab, primary: (typeof primaries)[number]): Promise<LabNode> {
  const node = await lab.node();
  await node.write({ primary, egress: everywhere });
  return node;
}

async function steeredAndOther(node: LabNode): Promise<{ pod: Pod; other: Pod }> {
  return { pod: await node.started(), other: await node.started('other') };
}

const answers = (pod: Pod, protocol: Protocol, addresses: readonly string[], port?: number) =>
  Promise.all(addresses.map((address) => pod.ask(protocol, address, port)));

/** What {@link answers} gives when the services saw these addresses. */
const expected = (protocol: Protocol, seen: readonly string[]) =>
  protocol === 'icmp' ? seen.map(() => 'reply') : seen;

/** Gives a service an address of the cluster: port 80 of it leads to port 8080 of `backends`. */
async function provide(node: LabNode, addresses: readonly string[], backends: readonly string[]): Promise<void> {
  for (const [i, address] of addresses.entries()) {
    const [command, backend] = address.includes(':') ? ['ip6tables', `[${backends[i]}]`] : ['iptables', backends[i]];
    const rule = `-d ${address} -p tcp --dport 80 -j DNAT --to-destination ${backend}:8080`;
    await node.machine.must([command, '-w', '-t', 'nat', '-A', 'PREROUTING', ...rule.split(' ')]);
  }
}
