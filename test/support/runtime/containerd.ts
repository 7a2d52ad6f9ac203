import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { LabNode } from '../node.ts';
import type { Daemon } from '../run.ts';
import { tool } from '../tools.ts';
import { type Chain, chainText } from './chain.ts';
import { Cri } from './cri.ts';
import { image, makeImage, pause } from './image.ts';
import { childOf, RuntimeMachine } from './machine.ts';
import { type PodOptions, RuntimePod } from './pod.ts';
import { type Release, releases } from './releases.ts';

/** How a containerd is started. */
export interface ContainerdOptions {
  readonly release?: Release;
  readonly chain?: Chain;
}

/** A containerd on a node of the lab, as a kubelet has it, with folders, sockets and plugins of its own. */
export class Containerd implements AsyncDisposable {
  readonly node: LabNode;
  readonly cri: Cri;
  readonly machine: RuntimeMachine;
  readonly #release: Release;
  #daemon: Daemon | undefined;

  private constructor(machine: RuntimeMachine, release: Release) {
    this.node = machine.node;
    this.machine = machine;
    this.#release = release;
    this.cri = new Cri(machine.path('run/containerd.sock'));
  }

  /** Starts it with a chain in /etc/cni/net.d, and waits until it takes pods. */
  static async start(node: LabNode, { release = releases.debian, chain = {} }: ContainerdOptions = {}) {
    const machine = await RuntimeMachine.start(node, 'containerd', release.plugins);
    const containerd = new Containerd(machine, release);
    await writeFile(node.configuration('net.d/cluster.conflist'), chainText(chain));
    await writeFile(machine.path('config.toml'), configuration(machine.folder));
    await containerd.startDaemon();
    await containerd.#importImage();
    return containerd;
  }

  /** The path of a plugin as containerd calls it. */
  plugin(name: string): string {
    return this.machine.plugin(name);
  }

  /** Starts containerd itself; its pods may be there already. */
  async startDaemon(): Promise<void> {
    const path = [...this.#release.folders, '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':');
    // Plugins get the whole environment of containerd: one as a service manager gives it.
    const command = ['env', '-i', 'HOME=/root', `PATH=${path}`, this.#release.program, '--config'];
    this.#daemon = await this.machine.inside.start(
      [...command, this.machine.path('config.toml')],
      'containerd successfully booted',
    );
    await this.#until(async () => (await this.conditions()).RuntimeReady?.ready === true);
  }

  /** Ends containerd itself, as the kernel or a service manager does; pods go on. */
  async stopDaemon(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#daemon === undefined) return;
    const { pid } = this.#daemon;
    // The parent is nsenter, which ends with it.
    process.kill(childOf(pid), signal);
    await this.#daemon.closed;
  }

  /** What it has logged since it was started last. */
  get log(): readonly string[] {
    return this.#daemon?.lines ?? [];
  }

  async #importImage(): Promise<void> {
    const made = await makeImage(this.machine.folder);
    await this.importImage(made, image);
    await rm(made);
  }

  /** Imports an image from an archive that calls it so, and waits until pods can have it. */
  async importImage(archive: string, name: string): Promise<void> {
    const ctr = [tool('ctr'), '--address', this.machine.path('run/containerd.sock'), '--namespace', 'k8s.io'];
    await this.machine.inside.must([...ctr, 'images', 'import', archive]);
    // The part that speaks the CRI hears of it a moment later.
    await this.#until(async () => (await this.cri.call('ImageStatus', { image: { image: name } })).image !== undefined);
  }

  /** Waits for what comes by itself; the guard of the test ends what does not. */
  async #until(condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition().catch(() => false))) {
      if (this.machine.hasEnded || this.#daemon?.hasEnded) throw new Error(`containerd ended:\n${this.log.join('\n')}`);
      await wait(20);
    }
  }

  /** The conditions that it tells the kubelet of, by their names: RuntimeReady and NetworkReady. */
  async conditions(): Promise<Readonly<Record<string, { readonly ready: boolean; readonly message: string }>>> {
    const { status } = await this.cri.call('Status', {});
    const all = status?.conditions ?? [];
    return Object.fromEntries(
      all.map(({ type = '', status: ready = false, message = '' }) => [type, { ready, message }]),
    );
  }

  /** Replaces the chain, and waits until containerd has read it. */
  async write(chain: Chain): Promise<void> {
    const text = chainText(chain);
    const path = this.node.configuration('net.d/cluster.conflist');
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
    await this.#until(async () => {
      const { info } = await this.cri.call('Status', { verbose: true });
      return JSON.parse(info?.cniconfig ?? '{}').Networks?.at(-1)?.Config?.Source === text;
    });
  }

  /** A pod with one container that runs. What the CRI refuses is an error with its words. */
  async pod(options: PodOptions = {}): Promise<RuntimePod> {
    const pod = await this.sandbox(options);
    await pod.start(options.command ?? pause, options);
    return pod;
  }

  /** A pod without containers, after RunPodSandbox. */
  async sandbox(options: PodOptions = {}): Promise<RuntimePod> {
    const name = options.name ?? this.node.lab.unique('pod');
    const logs = this.machine.path(`logs/${name}`);
    await mkdir(logs, { recursive: true });
    return RuntimePod.run(this, { ...options, name, uid: options.uid ?? randomUUID() }, logs);
  }

  /** The names of all pods that it knows, stopped ones too. */
  async podNames(): Promise<readonly string[]> {
    const { items = [] } = await this.cri.call('ListPodSandbox', {});
    return items.map(({ metadata }) => metadata?.name ?? '').toSorted();
  }

  /** Waits until it knows no pod: one that was not answered for in time it removes by itself, a moment later. */
  forgotten(): Promise<void> {
    return this.#until(async () => (await this.podNames()).length === 0);
  }

  /** Ends it with all its pods. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cri.close();
    await this.machine.end();
    await this.#daemon?.closed;
  }
}

/** What a distribution configures, but for folders, and for what a container's machine may not do. */
const configuration = (folder: string): string => `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "${folder}/run/containerd.sock"
[ttrpc]
  address = "${folder}/run/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${image}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${folder}/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = 1
`;
