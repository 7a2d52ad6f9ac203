import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { Namespace } from '../namespace.ts';
import { Daemon, must, run } from '../run.ts';
import { childOf } from '../runtime/machine.ts';
import { world } from '../world.ts';

/** What a kubelet and kube-proxy write for the whole machine: the node gets files of its own, with what a kubelet wants. */
const parameters = {
  'vm/overcommit_memory': 1,
  'vm/panic_on_oom': 0,
  'kernel/panic': 10,
  'kernel/panic_on_oops': 1,
  'kernel/keys/root_maxkeys': 1_000_000,
  'kernel/keys/root_maxbytes': 25_000_000,
} as const;

/** Folders of the disk, by their names there: where the node has them. They are what stays when its power goes. */
const disk = { etc: '/etc/cni', lib: '/var/lib/cni', opt: '/opt', log: '/var/log' } as const;

/**
 * A machine that can be switched off and on again: namespaces of network, mounts, processes, IPC and name, and a disk. With its
 * first process all others end; rules, routes, devices and `/run` go with them. Whatever tests make is named by the lab.
 */
export class Machine {
  readonly lab: Lab;
  /** Last part of its addresses, as of nodes of the lab: 172.18.0.<number>, 192.168.0.<235 + number>. */
  readonly number: number;
  readonly name: string;
  /** What stays. */
  readonly folder: string;
  #network: Namespace | undefined;
  #holder: Daemon | undefined;

  constructor(lab: Lab, number: number) {
    this.lab = lab;
    this.number = number;
    this.name = `node-${number}`;
    this.folder = join(lab.folder, this.name);
    for (const path of [...Object.keys(disk), 'etc/net.d', 'opt/cni/bin', 'cgroup', 'static'])
      mkdirSync(join(this.folder, path), { recursive: true });
    for (const [path, value] of Object.entries(parameters))
      writeFileSync(join(this.folder, path.replaceAll('/', '.')), `${value}\n`);
  }

  /** A path on the disk. */
  readonly path = (path: string): string => join(this.folder, path);

  /** Its own addresses on an uplink, IPv4 first. */
  addresses(uplink: 'eth0' | 'eth1'): readonly [string, string] {
    const { number } = this;
    return uplink === 'eth0'
      ? [`172.18.0.${number}`, `fd00:172::${number}`]
      : [`192.168.0.${235 + number}`, `fd00:168::${235 + number}`];
  }

  /** The name of the port of a network that it is plugged into. */
  get port(): string {
    return `node${this.number}`;
  }

  /** Whether it is on, and in the network. */
  isOn = false;

  /** Commands run in it as on the machine. It has to be on. */
  get inside(): Namespace {
    if (this.#network === undefined || this.#holder === undefined) throw new Error(`${this.name} is off`);
    return new Inside(this.#network.name, childOf(this.#holder.pid));
  }

  /** Switches it on: with addresses, a default route, and nothing that runs. */
  async on(): Promise<void> {
    this.#network = await this.lab.namespace(this.name);
    const shell = ['sh', '-c', script, this.folder, this.name];
    const namespaces = ['--mount', '--propagation=private', '--uts', '--ipc', '--pid', '--fork', '--kill-child'];
    this.#holder = await Daemon.start(
      ['/usr/bin/nsenter', `--net=${this.#network.path}`, '--', 'unshare', ...namespaces, ...shell],
      'mounted',
    );
    await this.#plug(this.#network);
    this.isOn = true;
  }

  async #plug(network: Namespace): Promise<void> {
    for (const [fabric, uplink] of [
      [this.lab.front, 'eth0'],
      [this.lab.back, 'eth1'],
    ] as const) {
      const lengths = uplink === 'eth0' ? [16, 64] : [24, 64];
      const addresses = this.addresses(uplink).map((address, i) => `${address}/${lengths[i]}`);
      await fabric.plug(network, this.port, uplink, addresses);
    }
    await network.ip(...world.front.gateway.map((gateway) => `route add default via ${gateway}`));
    await network.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  }

  /**
   * Takes its power away. What is not on its disk is gone. It sends nothing any more from the first moment on: while a namespace ends, its
   * rules go before its devices, and its stack would reset what comes for an egress address.
   */
  async off(): Promise<void> {
    const [holder, network] = [this.#holder, this.#network];
    this.#holder = undefined;
    this.isOn = false;
    if (holder === undefined || network === undefined) return;
    for (const fabric of [this.lab.front, this.lab.back])
      await must(['ip', '-n', fabric.namespace.name, 'link', 'delete', this.port]);
    process.kill(childOf(holder.pid), 'SIGKILL');
    await holder.closed;
    // What only entered it is ending, too.
    await run(['sh', '-c', 'ip netns pids "$0" | xargs -r kill -9; ip netns delete "$0"', network.name]);
    // A kubelet that finds control groups of the last boot does not get ready.
    await run(['sh', '-c', 'find /sys/fs/cgroup/*/"$0" -depth -type d -exec rmdir {} +', this.cgroup.slice(1)]);
  }

  /** The control group of all its pods; it goes with the lab, by its name. */
  get cgroup(): string {
    return `/${this.#network?.name ?? ''}`;
  }
}

/** nsenter finds the namespaces by the first process in them. */
class Inside extends Namespace {
  readonly #pid: number;

  constructor(name: string, pid: number) {
    super(name);
    this.#pid = pid;
  }

  override inside(command: readonly string[]): readonly string[] {
    return ['/usr/bin/nsenter', `--target=${this.#pid}`, '-m', '-n', '-u', '-i', '-p', '--', ...command];
  }
}

/** Ends a program that was started in a machine: its parent is nsenter, which ends with it. */
export async function endInside(daemon: Daemon, signal: NodeJS.Signals): Promise<void> {
  if (!daemon.hasEnded) await must(['kill', `-${signal.slice(3)}`, String(childOf(daemon.pid))]);
  await daemon.closed;
}

/**
 * What an init does. sysfs shows devices of the network it is mounted in. With cgroup version 1 the hierarchies are mounts below
 * sysfs. Mounts are shared, as on a machine, so that containers may have them passed on. The shell takes in orphans.
 */
const script = `set -e
mount -t proc proc /proc
for file in ${Object.keys(parameters).join(' ')}; do
  mount --bind "$0/$(echo $file | tr / .)" /proc/sys/$file
done
mount --rbind /sys/fs/cgroup "$0/cgroup"
mount -t sysfs sysfs /sys
mount --move "$0/cgroup" /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/containerd
${Object.entries(disk)
  .map(([name, path]) => `mount --bind "$0/${name}" ${path}`)
  .join('\n')}
mount --make-rshared /
hostname "$1"
echo mounted
trap : TERM INT HUP
while :; do sleep 1000 & wait; done`;
