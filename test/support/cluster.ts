import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Family } from '../../src/base/address.ts';
import { type Json, type Network, partners } from './chain.ts';
import type { Lab } from './lab.ts';
import type { LabNode } from './node.ts';
import { describePacket, packetsTo, tally } from './packets.ts';
import type { Packet } from './pcap.ts';
import type { Pod } from './pod.ts';
import type { Outcome } from './run.ts';
import { world } from './world.ts';

/** The path of the policy file, as a node sees it. */
export const policyFile = '/etc/cni/egress/policy.json';

/** An exit that leaves gateways by the way of their default route, with addresses that no device has yet. */
export const internet = {
  name: 'internet',
  gateways: ['172.18.0.3', '172.18.0.4'],
  addresses: ['172.18.0.33', 'fd00:172::33'],
} as const;

/** The exit of the lab, from the same gateways: out of their eth1, into the network behind it. */
export const remotePartners = { ...partners, gateways: internet.gateways } as const;

/** All pods of the namespace `default` leave by {@link internet} when they go outside. */
export const internetPolicy = {
  name: 'internet',
  namespaces: ['default'],
  destinations: world.outside,
  exit: internet.name,
} as const;

/** How answers come from a gateway to the node of the pod: by the routes of the cluster, or by our tunnel. */
export const replyPaths = ['direct', 'tunnel'] as const;

/** One of {@link replyPaths}. */
export type ReplyPath = (typeof replyPaths)[number];

/** What a cluster consists of; nodes are named by their numbers, as in {@link Lab.node}. */
export interface ClusterOptions {
  /** 3, 4 and 5 if none are given. The pods of the first are in 10.0.0.0/24, of the second in 10.0.1.0/24, … */
  readonly nodes?: readonly number[];
  /** Those of the nodes that are gateways: 3 and 4 if none are given. */
  readonly gateways?: readonly number[];
  /** With `tunnel` no node has a route to the pods of another: the cluster has an overlay, which the lab leaves out. */
  readonly replyPath?: ReplyPath;
  /** The family of the addresses that nodes know each other by, as ends of the tunnel: IPv4 if none is given. */
  readonly underlay?: Family;
}

/** A packet, and the number of the node that sent it. */
export interface ClusterPacket extends Packet {
  readonly node: number;
}

/** Nodes with pod ranges of their own. Each has the policy file, and egress in its chain. */
export class Cluster {
  readonly lab: Lab;
  readonly all: readonly LabNode[];
  readonly gateways: readonly LabNode[];
  /** The nodes that are no gateways. */
  readonly workers: readonly LabNode[];
  readonly replyPath: ReplyPath;
  readonly #underlay: Family;

  private constructor(lab: Lab, all: readonly LabNode[], options: Required<ClusterOptions>) {
    this.lab = lab;
    this.all = all;
    this.gateways = all.filter(({ number }) => options.gateways.includes(number));
    this.workers = all.filter(({ number }) => !options.gateways.includes(number));
    this.replyPath = options.replyPath;
    this.#underlay = options.underlay;
  }

  static async create(lab: Lab, options: ClusterOptions = {}): Promise<Cluster> {
    const { nodes = [3, 4, 5], gateways = [3, 4], replyPath = 'direct', underlay = 4 } = options;
    const all = await Promise.all(nodes.map((number) => lab.node(number, [])));
    const cluster = new Cluster(lab, all, { nodes, gateways, replyPath, underlay });
    await cluster.#addRoutes();
    await Promise.all([cluster.write(), cluster.policy()]);
    return cluster;
  }

  /**
   * The outside host of the front network reaches all pods, from `world.front.host`. It never forwards, so no node
   * reaches pods through it.
   */
  async #addRoutes(): Promise<void> {
    const { host } = this.lab.front;
    await host.sysctl({ 'net.ipv4.ip_forward': 0, 'net.ipv6.conf.all.forwarding': 0 });
    const machines = this.replyPath === 'direct' ? this.all.map(({ machine }) => machine) : [];
    for (const machine of machines) {
      const others = this.all.filter((node) => node.machine !== machine);
      await machine.ip(...others.flatMap((node) => this.#routesTo(node)));
    }
    const routes = this.all.flatMap((node) => this.#routesTo(node));
    await host.ip(...routes.map((route, i) => `${route} src ${world.front.host[i % 2]}`));
  }

  #routesTo(node: LabNode): readonly string[] {
    return this.podRanges(node).map((range, i) => `route add ${range} via ${node.addresses('eth0')[i]}`);
  }

  /** The ranges of the pods of a node, IPv4 first. */
  podRanges(node: LabNode): readonly string[] {
    const index = this.all.indexOf(node);
    return [`10.0.${index}.0/24`, `fd00:10:0:${index}::/64`];
  }

  /** The address by which other nodes know a node. */
  end(node: LabNode): string {
    return node.addresses('eth0')[this.#underlay === 4 ? 0 : 1];
  }

  /** Writes the conflist of every node: the default one with the node's own ranges, and changes. */
  async write(changes: Partial<Network> = {}): Promise<void> {
    const egress = { type: 'egress', policyFile };
    const own = (node: LabNode) => ({ ranges: this.podRanges(node).map((subnet) => ({ subnet })), egress });
    await Promise.all(this.all.map((node) => node.write({ ...own(node), ...changes })));
  }

  /** Writes the policy file of every node: {@link internet} for all pods of `default`; `changes` replaces keys. */
  async policy(changes: Json = {}): Promise<void> {
    const nodes = this.all.map((node) => ({ address: this.end(node), podCIDRs: this.podRanges(node) }));
    const gateways = this.gateways.map((node) => this.end(node));
    const text = JSON.stringify({
      clusterCIDRs: world.cluster,
      nodes,
      tunnel: { vni: 14597, port: 4788, replyPath: this.replyPath },
      exits: [{ ...internet, gateways }],
      policies: [internetPolicy],
      ...changes,
    });
    await Promise.all(this.all.map((node) => writePolicy(node, text)));
  }

  /** Makes gateways of nodes, of all that should be if none are named. What they said; a failure is an error. */
  async up(...nodes: readonly LabNode[]): Promise<string> {
    const said: string[] = [];
    for (const node of nodes.length > 0 ? nodes : this.gateways) {
      said.push(succeeded(await node.egress('gateway', '--policy', policyFile)));
    }
    return said.join('');
  }

  /** Takes from a node what made it a gateway; a failure is an error. */
  async down(node: LabNode): Promise<void> {
    succeeded(await node.egress('gateway', '--policy', policyFile, '--down'));
  }

  /** Moves an exit to another gateway: there first, on all other nodes after that. A failure is an error. */
  async move(exit: string, to: LabNode): Promise<void> {
    const address = this.end(to);
    for (const node of [to, ...this.workers, ...this.gateways.filter((gateway) => gateway !== to)]) {
      succeeded(await node.egress('exit', 'move', exit, '--to', address, '--policy', policyFile));
    }
  }

  /** A new pod on each node, after ADD. */
  startedOnEach(namespace = 'default'): Promise<readonly Pod[]> {
    return Promise.all(this.all.map((node) => node.started(namespace)));
  }

  /** Starts to record every packet that leaves any node by an uplink; the function that it gives ends that. */
  async capture(): Promise<() => Promise<readonly ClusterPacket[]>> {
    const captures = await Promise.all(this.all.map((node) => node.capture()));
    return async () => {
      const packets = await Promise.all(captures.map((capture) => capture.stop()));
      const numbered = packets.flatMap((own, i) => own.map((packet) => ({ ...packet, node: this.#number(i) })));
      return numbered.toSorted((a, b) => a.time - b.time);
    };
  }

  #number(index: number): number {
    return this.all[index]?.number ?? 0;
  }

  /**
   * What must never be: packets to the outside or to its hosts that left any node with another source than one of
   * `addresses`, or that left a node which is no gateway. One line for each kind, with how often it was seen.
   */
  leaks(packets: readonly ClusterPacket[], addresses: readonly string[]): readonly string[] {
    const gateways = new Set(this.gateways.map(({ number }) => number));
    const isRight = ({ source, node }: ClusterPacket) => addresses.includes(source) && gateways.has(node);
    return tally(
      packetsOutside(packets)
        .filter((packet) => !isRight(packet))
        .map(describeFromNode),
    );
  }
}

/** Where nothing of a steered pod may arrive from anybody but a gateway. */
const everybodyOutside = [
  ...world.outside,
  ...[world.front, world.back].flatMap(({ gateway, host }) => [...gateway, ...host]),
];

/** The packets to the outside and its hosts, without the search for neighbours. */
export const packetsOutside = <P extends Packet>(packets: readonly P[]): readonly P[] =>
  packetsTo(packets, ...everybodyOutside).filter(({ protocol }) => protocol !== 'ndp');

/** A packet in one line, beginning with the node that sent it. */
export const describeFromNode = (packet: ClusterPacket): string => `node${packet.node} ${describePacket(packet)}`;

/** Writes the policy file of a node. */
export async function writePolicy(node: LabNode, text: string): Promise<void> {
  const file = node.configuration('egress/policy.json');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

function succeeded({ code, stdout, stderr }: Outcome): string {
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}${stdout}`);
  return stdout;
}
