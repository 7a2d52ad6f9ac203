import assert from 'node:assert/strict';
import { egressEntry, type Json, partners } from './chain.ts';
import type { Lab } from './lab.ts';
import { ip, nft } from './nft.ts';
import type { LabNode } from './node.ts';
import { packetsTo } from './packets.ts';
import type { Packet } from './pcap.ts';
import type { Pod, Protocol } from './pod.ts';
import { program, tool } from './tools.ts';
import { type Fabric, world } from './world.ts';

// What tests of policies with ports share: nodes with such policies, an outside that answers at every port, and how
// packets left.

const [service4, service6] = world.service;

/** Cluster addresses of a service that {@link provide} makes. */
export const clusterService = ['10.96.0.10', 'fd00:96::10'] as const;

/** Another exit on the same uplink, with addresses of its own. */
export const second = { ...partners, name: 'second', addresses: ['192.168.0.250', 'fd00:168::250'] } as const;

/** A node with policies for pods of `default` towards the outside, which answers at every port of TCP and UDP. */
export async function nodeWith(lab: Lab, policies: readonly Json[], { answering = true } = {}): Promise<LabNode> {
  const node = await lab.node();
  for (const address of second.addresses) {
    await ip(node, `address add ${address} dev eth1${address.includes(':') ? ' preferred_lft 0' : ''}`);
  }
  if (answering) await Promise.all([lab.front, lab.back].map(answerAtEveryPort));
  const common = { namespaces: ['default'], destinations: world.outside };
  await node.write({
    egress: egressEntry({ exits: [partners, second], policies: policies.map((policy) => ({ ...common, ...policy })) }),
  });
  return node;
}

/** A pod with one policy, by the exit `partners` unless it says otherwise. */
export async function steered(lab: Lab, policy: Json, options?: { readonly answering: boolean }) {
  const node = await nodeWith(lab, [{ name: 'p', exit: 'partners', ...policy }], options);
  return { node, pod: await node.started() };
}

/** Leads all ports of TCP and UDP to the one where a service answers. */
export async function answerAtEveryPort({ host }: Fabric): Promise<void> {
  const rule = (family: string, outside: string) =>
    `add rule inet any in ${family} daddr ${outside} meta l4proto { tcp, udp } redirect to :8080`;
  const [outside4, outside6] = world.outside;
  const commands = [
    'add table inet any',
    'add chain inet any in { type nat hook prerouting priority -100; }',
    rule('ip', outside4),
    rule('ip6', outside6),
  ];
  await host.must(['nft', commands.join('; ')]);
}

/** The addresses that services saw of the pod, IPv4 first. */
export const seen = (pod: Pod, protocol: Protocol, port: number, services: readonly string[] = world.service) =>
  Promise.all(services.map((address) => pod.ask(protocol, address, port)));

/** By which uplink and with which address a packet left. */
export const wayOf = ({ interface: uplink, source }: Packet) => `${uplink} ${source}`;

/** The ways of all packets of a protocol to the services, each once. */
export const waysOf = (packets: readonly Packet[], protocol: Packet['protocol']) =>
  [
    ...new Set(
      packetsTo(packets, ...world.service)
        .filter((packet) => packet.protocol === protocol)
        .map(wayOf),
    ),
  ].toSorted();

/** What {@link waysOf} gives for packets of both families by the exit on eth1, or by the node on eth0. */
export const waysOut = (uplink: 'eth0' | 'eth1', node: LabNode) =>
  (uplink === 'eth1' ? world.exitAddress : node.addresses('eth0')).map((address) => `${uplink} ${address}`).toSorted();

/** The protocol of a packet, and its port if it has one. */
export const kindOf = ({ protocol, destinationPort }: Packet) => [protocol, destinationPort].filter(Boolean).join(' ');

/** The ways of pings, all of which are answered. */
export async function pingWays(node: LabNode, pod: Pod): Promise<readonly string[]> {
  const capture = await node.capture();
  assert.deepEqual(await pod.askEach('icmp'), ['reply', 'reply']);
  return waysOf(await capture.stop(), 'icmp');
}

/**
 * The ways of what a pod says when an answer by UDP comes that nobody waits for any more, from a service on a port
 * outside, which may be asked through others.
 */
export async function errorWays(
  outside: Fabric,
  node: LabNode,
  pod: Pod,
  port: number,
  through: { readonly port: number; readonly services: readonly string[] } = { port, services: world.service },
): Promise<readonly string[]> {
  await outside.host.must(['nft', 'flush', 'chain', 'inet', 'any', 'in']);
  const service = await outside.host.start([tool('python3'), program('late.py'), String(port)], 'ready');
  const answers = await seen(pod, 'udp', through.port, through.services);
  assert.ok(!answers.includes('nothing'));
  const capture = await node.capture();
  service.signal('SIGUSR1');
  await service.line('again 2');
  await pod.askEach('tcp'); // the errors were sent before this was answered
  return waysOf(await capture.stop(), 'icmp');
}

/** Sends one packet that no socket would send; see programs/crafted.py. */
export const craft = (pod: Pod, ...args: readonly string[]) => pod.run('crafted.py', ...args);

/** Gives a port of a service in the cluster to a port of the services outside, as kube-proxy would. */
export async function provide(
  node: LabNode,
  port: number,
  backend: number,
  protocol: 'tcp' | 'udp' = 'tcp',
): Promise<void> {
  await nft(
    node,
    'add table inet services',
    'add chain inet services in { type nat hook prerouting priority -100; }',
    `add rule inet services in ip daddr ${clusterService[0]} ${protocol} dport ${port} dnat ip to ${service4}:${backend}`,
    `add rule inet services in ip6 daddr ${clusterService[1]} ${protocol} dport ${port} dnat ip6 to [${service6}]:${backend}`,
  );
}

/** The names of the node's chains that are programs. */
export async function programsOf({ machine }: LabNode): Promise<readonly string[]> {
  const listed = await machine.must(['nft', 'list', 'ruleset']);
  return [...listed.matchAll(/chain (program-\w+) \{/g)].map(([, name = '']) => name);
}
