import { readFileSync } from 'node:fs';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Namespace } from '../namespace.ts';
import type { LabNode } from '../node.ts';
import { Daemon } from '../run.ts';
import { egressBinary } from '../tools.ts';

/**
 * Where a container runtime lives on a node of the lab. It has the node's network, /etc/cni and /var/lib/cni, a /run and
 * a folder of plugins of its own, and a PID namespace, with whose first process everything ends that was ever started in it.
 */
export class RuntimeMachine {
  readonly node: LabNode;
  /** Of the runtime alone; removed with the lab. */
  readonly folder: string;
  /** What the runtime sees: run here what has to find the network namespaces of its pods. */
  readonly inside: Namespace;
  readonly #holder: Daemon;

  private constructor(node: LabNode, folder: string, holder: Daemon) {
    this.node = node;
    this.folder = folder;
    this.#holder = holder;
    this.inside = new Inside(node.machine.name, childOf(holder.pid));
  }

  /** Makes it with the plugins that are given as name → path, and with egress. */
  static async start(node: LabNode, name: string, plugins: Readonly<Record<string, string>>): Promise<RuntimeMachine> {
    const folder = join(node.folder, name);
    for (const path of ['run', 'bin', 'logs']) await mkdir(join(folder, path), { recursive: true });
    const holder = await Daemon.start(holderCommand(node), 'mounted');
    const machine = new RuntimeMachine(node, folder, holder);
    for (const [plugin, path] of Object.entries({ ...plugins, egress: egressBinary }))
      await symlink(path, machine.plugin(plugin));
    return machine;
  }

  /** A path in {@link folder}. */
  path(path: string): string {
    return join(this.folder, path);
  }

  /** The path of a plugin as the runtime calls it. */
  plugin(name: string): string {
    return this.path(`bin/${name}`);
  }

  /** Makes a shell script a plugin. */
  async addPlugin(name: string, script: string): Promise<void> {
    await writeFile(this.plugin(name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** Replaces a plugin, which may run meanwhile, by a shell script. Returns what puts it back. */
  async replacePlugin(name: string, script: string): Promise<() => Promise<void>> {
    const [path, kept] = [this.plugin(name), this.path(`${name}-kept`)];
    await rename(path, kept);
    await this.addPlugin(name, script);
    return () => rename(kept, path);
  }

  /** The network namespaces that are mounted in its folder. */
  podNetworks(): readonly string[] {
    const mounts = readFileSync(`/proc/${childOf(this.#holder.pid)}/mounts`, 'utf8');
    return mounts.split('\n').filter((line) => line.startsWith('nsfs ') && line.includes(this.folder));
  }

  get hasEnded(): boolean {
    return this.#holder.hasEnded;
  }

  /** Ends all processes in it. */
  async end(): Promise<void> {
    await this.#holder.stop('SIGKILL');
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
    return ['/usr/bin/nsenter', `--target=${this.#pid}`, '--net', '--mount', '--pid', '--', ...command];
  }
}

/**
 * The process that holds the namespaces; it dies with the process that we started. Whatever is configured, runtimes keep
 * sockets, locks and network namespaces in /run and /dev/shm: these are its own too. Mounts are shared, as on a machine,
 * so that containers may have them passed on. The shell takes in the processes whose parents end.
 */
function holderCommand(node: LabNode): readonly string[] {
  const script = `mount --make-rshared / && mount -t tmpfs none /run && mount -t tmpfs none /dev/shm && mkdir /run/containerd /run/netns &&
    mount --bind "$0/etc" /etc/cni && mount --bind "$0/lib" /var/lib/cni && echo mounted &&
    { sleep 2147483647 & } && wait`;
  const unshare = ['unshare', '--mount', '--propagation=slave', '--pid', '--fork', '--kill-child', '--mount-proc'];
  return ['/usr/bin/nsenter', `--net=${node.machine.path}`, '--', ...unshare, 'sh', '-c', script, node.folder];
}

/** The first child of a process of this machine. */
export function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}
