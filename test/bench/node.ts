import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../support/lab.ts';
import type { Namespace } from '../support/namespace.ts';
import type { LabNode } from '../support/node.ts';

/** A pod as the plugins see it: one end of a veth pair on the node, with a route to the pod's address. */
export interface BenchPod {
  readonly containerId: string;
  readonly address: string;
  readonly hostInterface: string;
  /** Its interface in {@link network}; many pods may share a namespace, since nothing here depends on it. */
  readonly interface: string;
  readonly network: Namespace;
  /** A port of the node that is this pod's alone. */
  readonly hostPort: number;
}

/** As the plugin `ptp` has it: the same address on every host end. */
const gateway = '10.0.255.254';

/**
 * A node with one uplink, eth1, and behind it a host that answers for all of 203.0.113.0/24: what is steered and what is
 * only masqueraded take the same path.
 */
export class BenchNode {
  readonly machine: Namespace;
  readonly outside: Namespace;
  /** Where the plugin keeps its state. */
  readonly dataDir: string;

  private constructor(machine: Namespace, outside: Namespace, dataDir: string) {
    this.machine = machine;
    this.outside = outside;
    this.dataDir = dataDir;
  }

  static async create(lab: Lab, name: string): Promise<BenchNode> {
    const dataDir = join(lab.folder, name);
    mkdirSync(dataDir);
    const node = new BenchNode(await lab.namespace(name), await lab.namespace(`${name}-out`), dataDir);
    await node.#connect();
    return node;
  }

  /** A node of the lab; its state is where it keeps it. */
  static of(node: LabNode): BenchNode {
    return new BenchNode(node.machine, node.lab.back.host, node.state('egress'));
  }

  async #connect(): Promise<void> {
    await this.machine.ip(
      `link add eth1 type veth peer name eth0 netns ${this.outside.name}`,
      'link set eth1 up',
      'address add 192.168.0.240/24 dev eth1',
      'address add 192.168.0.245/24 dev eth1',
      'route add default via 192.168.0.1',
    );
    await this.outside.ip(
      'link set eth0 up',
      'address add 192.168.0.1/24 dev eth0',
      'route add local 203.0.113.0/24 dev lo',
    );
    await this.machine.sysctl({ 'net.ipv4.ip_forward': 1 });
  }

  /** Connects pods, numbered from `first` (1 to 65000), to the node. */
  async plug(network: Namespace, count: number, first = 1): Promise<readonly BenchPod[]> {
    const pods = Array.from({ length: count }, (_, i) => podOf(network, first + i));
    await this.machine.ip(
      ...pods.map((pod) => `link add ${pod.hostInterface} type veth peer name ${pod.interface} netns ${network.name}`),
      ...pods.map((pod) => `address add ${gateway}/32 dev ${pod.hostInterface}`),
    );
    await network.ip(...pods.map((pod) => `link set ${pod.interface} up`));
    await this.raise(pods);
    return pods;
  }

  /** Sets the links up, with their routes: egress takes them down on DEL. */
  async raise(pods: readonly BenchPod[]): Promise<void> {
    await this.machine.ip(
      ...pods.map((pod) => `link set ${pod.hostInterface} up`),
      ...pods.map((pod) => `route replace ${pod.address} dev ${pod.hostInterface}`),
    );
  }
}

/** The pod with a number, 1 to 65000; nothing of it is there yet. */
export function podOf(network: Namespace, number: number): BenchPod {
  return {
    containerId: `container-${number}`,
    address: `10.0.${number >> 8}.${number & 255}`,
    hostInterface: `veth${number}`,
    interface: `eth${number}`,
    network,
    hostPort: 20_000 + number,
  };
}

/** Pods of which only the addresses matter: none that a pod with a low number has. */
export const podsElsewhere = (network: Namespace, count: number): readonly BenchPod[] =>
  Array.from({ length: count }, (_, i) => podOf(network, 256 + i));

/** Gives a pod that has its namespace to itself its address and its way out. */
export async function giveAddress({ network, interface: device, address }: BenchPod): Promise<void> {
  await network.ip(
    `address add ${address}/32 dev ${device}`,
    `route add ${gateway} dev ${device}`,
    `route add default via ${gateway}`,
  );
}
