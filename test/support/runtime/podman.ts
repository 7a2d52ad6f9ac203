import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Json, partners } from '../chain.ts';
import type { LabNode } from '../node.ts';
import type { Outcome } from '../run.ts';
import { program, tool } from '../tools.ts';
import { world } from '../world.ts';
import { chainText } from './chain.ts';
import { makeRoot, pause } from './image.ts';
import { RuntimeMachine } from './machine.ts';
import { releases } from './releases.ts';

/** podman with its CNI backend on a node of the lab. It has no daemon: each call is a process. */
export class Podman implements AsyncDisposable {
  readonly node: LabNode;
  readonly machine: RuntimeMachine;

  private constructor(machine: RuntimeMachine) {
    this.node = machine.node;
    this.machine = machine;
  }

  /** Prepares its folders, with a chain in /etc/cni/net.d whose egress entry has these policies. */
  static async create(node: LabNode, policies: readonly Json[]): Promise<Podman> {
    const machine = await RuntimeMachine.start(node, 'podman', releases.debian.plugins);
    const podman = new Podman(machine);
    makeRoot(machine.path('image'));
    await mkdir(machine.path('storage'));
    await writeFile(machine.path('containers.conf'), configuration(machine));
    const egress = { clusterCIDRs: world.cluster, exits: [partners], policies, capabilities: {} };
    await writeFile(node.configuration('net.d/cluster.conflist'), chainText({ egress }));
    return podman;
  }

  /** Starts a container that only is there, in the network `cluster`. Returns its id. */
  async start(name: string, ...options: readonly string[]): Promise<string> {
    const programs = join(program('ask.py'), '..');
    const mounts = [`--volume=/usr:/usr:ro`, `--volume=${programs}:/programs:ro`];
    // Machines in containers may not raise limits.
    const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=4096:4096'];
    const cgroup = `--cgroup-parent=/${this.node.machine.name}`;
    const common = ['--detach', `--name=${name}`, '--network=cluster', cgroup, ...mounts, ...limits, ...options];
    const { code, stdout, stderr } = await this.call(
      'run',
      ...common,
      '--rootfs',
      this.machine.path('image'),
      ...pause,
    );
    if (code !== 0) throw new Error(`podman run: ${stdout}${stderr}`);
    return stdout.trim();
  }

  /** The addresses that the services of the world outside see of a container. */
  askEach(name: string): Promise<readonly string[]> {
    return Promise.all(
      world.service.map(async (address) => {
        const ask = ['python3', '/programs/ask.py', 'tcp', address, '8080'];
        const { code, stdout } = await this.call('exec', '--env=PATH=/usr/bin', name, ...ask);
        return code === 0 ? (stdout.trim().split(' ')[0] ?? '') : 'nothing';
      }),
    );
  }

  /** Runs a command of podman. */
  call(...args: readonly string[]): Promise<Outcome> {
    // podman takes no long path for these; /run is the machine's own.
    const short = ['runroot', 'tmpdir'].map((name) => `--${name}=/run/containerd/${name}`);
    const folders = [`--root=${this.machine.path('storage')}`, ...short];
    const env = ['env', '-i', 'HOME=/root', 'PATH=/usr/sbin:/usr/bin', `CONTAINERS_CONF=${this.#configuration}`];
    const own = [...folders, '--cgroup-manager=cgroupfs', '--runtime=runc', '--events-backend=none'];
    return this.machine.inside.run([...env, tool('podman'), ...own, ...args]);
  }

  get #configuration(): string {
    return this.machine.path('containers.conf');
  }

  /** Ends it with all its containers. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.end();
  }
}

const configuration = (machine: RuntimeMachine): string => `[containers]
cgroupns = "host"
[engine]
cgroup_manager = "cgroupfs"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${machine.path('bin')}"]
network_config_dir = "/etc/cni/net.d"
default_network = "cluster"
`;
