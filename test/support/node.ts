import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Capture } from './capture.ts';
import { conflist, defaultNetwork, type Network } from './chain.ts';
import type { Lab } from './lab.ts';
import { Namespace } from './namespace.ts';
import { type Call, type CniCommand, callPlugin, type PluginOutcome } from './plugin.ts';
import { type CniResult, Pod } from './pod.ts';
import { Daemon, type Outcome } from './run.ts';
import { cniPath, egressBinary, tool } from './tools.ts';
import { type Fabric, hardwareAddress, world } from './world.ts';

/** What a kubelet and a distribution set on a node. */
const settings = { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 };

/** A node: two uplinks, the CNI plugins, and an /etc/cni and a /var/lib/cni of its own. */
export class LabNode {
  readonly lab: Lab;
  readonly machine: Namespace;
  /** Last part of its addresses; see {@link Lab.node}. */
  readonly number: number;
  /** Holds what the node sees as /etc/cni and /var/lib/cni. */
  readonly folder: string;
  readonly #networks = new Map<string, Network>();

  private constructor(lab: Lab, machine: Namespace, number: number, folder: string) {
    this.lab = lab;
    this.machine = machine;
    this.number = number;
    this.folder = folder;
  }

  static async create(lab: Lab, number: number, exitAddresses: readonly string[]): Promise<LabNode> {
    const [network, folder] = [await lab.namespace(`node${number}`), join(lab.folder, `node${number}`)];
    const machine = await withOwnFolders(network, folder);
    const node = new LabNode(lab, machine, number, folder);
    await node.#plug(lab.front, lab.back);
    await node.#addExitAddresses(exitAddresses);
    await node.write({});
    return node;
  }

  async #plug(front: Fabric, back: Fabric): Promise<void> {
    const port = `node${this.number}`;
    await front.plug(
      this.machine,
      port,
      'eth0',
      this.addresses('eth0').map((address, i) => `${address}/${i ? 64 : 16}`),
    );
    await back.plug(
      this.machine,
      port,
      'eth1',
      this.addresses('eth1').map((address, i) => `${address}/${i ? 64 : 24}`),
    );
    await this.machine.ip(...world.front.gateway.map((gateway) => `route add default via ${gateway}`));
    await this.machine.sysctl(settings);
  }

  async #addExitAddresses(addresses: readonly string[]): Promise<void> {
    await this.machine.ip(
      ...addresses.map(
        (address) => `address add ${address} dev eth1 ${address.includes(':') ? 'preferred_lft 0' : ''}`,
      ),
    );
  }

  /** The node's own addresses on an uplink, IPv4 first. */
  addresses(uplink: 'eth0' | 'eth1'): readonly [string, string] {
    const { number } = this;
    return uplink === 'eth0'
      ? [`172.18.0.${number}`, `fd00:172::${number}`]
      : [`192.168.0.${235 + number}`, `fd00:168::${235 + number}`];
  }

  /** A file of the node below /var/lib/cni, by its path from here. */
  readonly state = (path: string): string => join(this.folder, 'lib', path);

  /** A file of the node below /etc/cni, by its path from here. */
  readonly configuration = (path: string): string => join(this.folder, 'etc', path);

  /** Writes the conflist of a network: the default one with changes. */
  async write(changes: Partial<Network>): Promise<void> {
    const network = { ...defaultNetwork, ...changes };
    this.#networks.set(network.name, network);
    await writeFile(this.configuration(`net.d/${network.name}.conflist`), conflist(network));
  }

  /** What {@link write} wrote last under this name. */
  network(name: string): Network {
    const network = this.#networks.get(name);
    if (network === undefined) throw new Error(`The node has no network ${name}`);
    return network;
  }

  /** A new pod without a network yet. `wanted` is the IPv4 address that it will ask host-local for. */
  async pod(namespace = 'default', name = this.lab.unique('pod'), wanted?: string): Promise<Pod> {
    return new Pod(await this.lab.namespace(name), name, namespace, wanted);
  }

  /** Runs ADD of the whole chain through cnitool; a failure is an error. */
  async add(pod: Pod, network = 'cluster'): Promise<CniResult> {
    const outcome = await this.cnitool('add', pod, network);
    if (outcome.code !== 0) throw new Error(`ADD of ${pod.name}: ${outcome.stderr}${outcome.stdout}`);
    pod.result = JSON.parse(outcome.stdout) as CniResult;
    return pod.result;
  }

  /** Runs DEL of the whole chain through cnitool; a failure is an error. */
  async del(pod: Pod, network = 'cluster'): Promise<void> {
    const outcome = await this.cnitool('del', pod, network);
    if (outcome.code !== 0) throw new Error(`DEL of ${pod.name}: ${outcome.stderr}${outcome.stdout}`);
  }

  /** A new pod after ADD. */
  async started(namespace = 'default', network = 'cluster'): Promise<Pod> {
    const pod = await this.pod(namespace);
    await this.add(pod, network);
    return pod;
  }

  /** DEL, and then the end of the pod, as a runtime does it. */
  async end(pod: Pod, network = 'cluster'): Promise<void> {
    await this.del(pod, network);
    await pod.network.remove();
  }

  /** Runs a command of cnitool on a network of the node. */
  cnitool(command: 'add' | 'del' | 'check' | 'gc' | 'status', pod: Pod, network = 'cluster'): Promise<Outcome> {
    const own = { CNI_ARGS: pod.args, CNI_IFNAME: pod.interface, CAP_ARGS: JSON.stringify(pod.runtimeConfig) };
    const env = { PATH: process.env.PATH ?? '', CNI_PATH: cniPath, ...own };
    return this.machine.run([tool('cnitool'), command, network, pod.network.path], { env });
  }

  /** Calls the plugin alone, for what cnitool cannot do. */
  plugin(command: CniCommand, call: Call = {}): Promise<PluginOutcome> {
    return callPlugin(this, command, call);
  }

  /** Runs the binary as a person would: `node.egress('status', '--json')`. */
  egress(...args: readonly string[]): Promise<Outcome> {
    return this.machine.run([egressBinary, ...args]);
  }

  /** Does something while the chain of the network is without egress, which is how egress misses an ADD or a DEL. */
  async withoutEgress<T>(action: () => Promise<T>, network = 'cluster'): Promise<T> {
    const own = this.network(network);
    await this.write({ ...own, egress: undefined });
    try {
      return await action();
    } finally {
      await this.write(own);
    }
  }

  /**
   * Lets the primary plugin make what it never removes (its bridge, the empty chains of iptables), by a pod on a chain
   * without egress. A snapshot made after this differs later only by what egress did.
   */
  settle(network = 'cluster'): Promise<void> {
    return this.withoutEgress(async () => this.end(await this.started('default', network), network), network);
  }

  /** The names of all files that the plugin keeps now. An unused store holds its `lock` alone. */
  async records(): Promise<readonly string[]> {
    const options = { recursive: true, withFileTypes: true } as const;
    const entries = await readdir(this.state('egress'), options).catch(() => []);
    return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).toSorted();
  }

  /** Starts to record every packet that leaves the node by an uplink. */
  capture(): Promise<Capture> {
    const hardware = { front: hardwareAddress(this.addresses('eth0')), back: hardwareAddress(this.addresses('eth1')) };
    const port = { name: `node${this.number}`, hardwareAddress: hardware };
    return Capture.start(this.lab.folder, [this.lab.front, this.lab.back], port);
  }
}

/**
 * Gives a machine folders of its own at /etc/cni and /var/lib/cni, in a mount namespace that one sleeping process
 * holds. Network namespaces that are made later appear in it, because `ip netns exec` leaves mounts coming in.
 */
async function withOwnFolders(network: Namespace, folder: string): Promise<Namespace> {
  for (const path of [`${folder}/etc/net.d`, `${folder}/lib`, '/etc/cni', '/var/lib/cni'])
    await mkdir(path, { recursive: true });
  const script =
    'mount --bind "$0/etc" /etc/cni && mount --bind "$0/lib" /var/lib/cni && echo mounted && exec sleep infinity';
  const holder = await Daemon.start(['ip', 'netns', 'exec', network.name, 'sh', '-c', script, folder], 'mounted');
  return new Namespace(network.name, holder.pid);
}
