import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { conflist, defaultNetwork } from '../chain.ts';
import type { Daemon } from '../run.ts';
import { image as sandboxImage } from '../runtime/image.ts';
import { type Release, releases } from '../runtime/releases.ts';
import { kubernetesTool, tool } from '../tools.ts';
import { endInside, type Machine } from './machine.ts';

/** Which kind of rules kube-proxy makes. */
export type ProxyMode = 'nftables' | 'iptables';

/** What runs on a node, and how it finds the cluster. */
export interface NodeOptions {
  readonly release: Release;
  readonly proxy: ProxyMode;
  /** Files of the control plane, by name. */
  readonly file: (name: string) => string;
  /** Archives of images that the node has from the start. */
  readonly images: readonly string[];
  /** The taint that keeps pods away until egress is there. */
  readonly taint: boolean;
}

/** The ranges of the pods of a node, IPv4 first. */
export const podRanges = (number: number): readonly [string, string] => [
  `10.0.${number}.0/24`,
  `fd00:10:0:${number}::/64`,
];

/** containerd, kubelet and kube-proxy on a machine. Nobody starts them again when they end. */
export class NodePrograms {
  readonly machine: Machine;
  readonly #options: NodeOptions;
  readonly #running = new Map<'containerd' | 'kubelet' | 'kube-proxy', Daemon>();

  constructor(machine: Machine, options: NodeOptions) {
    this.machine = machine;
    this.#options = options;
  }

  /** Boots: what a service manager starts. The first time the disk gets what an administrator puts there. */
  async start(): Promise<void> {
    const isNew = !existsSync(this.machine.path('kubelet.yaml'));
    if (isNew) await this.#install();
    writeFileSync(this.machine.path('kubelet.yaml'), JSON.stringify(this.#kubelet()));
    makeControlGroups(this.machine.cgroup);
    await this.startContainerd();
    if (isNew) await Promise.all(this.#options.images.map((archive) => this.import(archive)));
    await this.startProxy();
    await this.startKubelet();
  }

  async #install(): Promise<void> {
    const { machine } = this;
    for (const [name, path] of Object.entries(this.#options.release.plugins))
      await copyFile(path, machine.path(`opt/cni/bin/${name}`));
    const ranges = podRanges(machine.number).map((subnet) => ({ subnet }));
    const { plugins, ...rest } = JSON.parse(conflist({ ...defaultNetwork, ranges, egress: undefined }));
    const portmap = { type: 'portmap', capabilities: { portMappings: true } };
    const chain = { ...rest, plugins: [...plugins, portmap] };
    await writeFile(machine.path('etc/net.d/10-pods.conflist'), JSON.stringify(chain, undefined, 2));
    await writeFile(machine.path('containerd.toml'), containerdConfiguration(machine.folder));
    await writeFile(machine.path('proxy.yaml'), JSON.stringify(this.#proxy()));
  }

  async startContainerd(): Promise<void> {
    const { program, folders } = this.#options.release;
    const path = [...folders, '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':');
    const command = ['env', '-i', 'HOME=/root', `PATH=${path}`, program, '--config'];
    const file = this.machine.path('containerd.toml');
    await this.#start('containerd', [...command, file], 'containerd successfully booted');
  }

  /** Imports an image. */
  async import(archive: string): Promise<void> {
    const ctr = [tool('ctr'), '--address', '/run/containerd/containerd.sock', '--namespace', 'k8s.io'];
    await this.machine.inside.must([...ctr, 'images', 'import', archive]);
  }

  async startKubelet(): Promise<void> {
    const { machine } = this;
    const addresses = machine.addresses('eth0').join(',');
    await this.#start(
      'kubelet',
      [
        ...['env', `PATH=${process.env.PATH}:/usr/sbin:/sbin`, kubernetesTool('kubelet')],
        ...['--config', machine.path('kubelet.yaml')],
        ...['--kubeconfig', this.#options.file(`${machine.name}.kubeconfig`), '--hostname-override', machine.name],
        // As install/README.md has it.
        ...(this.#options.taint ? ['--register-with-taints=egress.cni/not-ready=:NoSchedule'] : []),
        ...['--node-ip', addresses, '--root-dir', machine.path('kubelet'), '--cert-dir', machine.path('kubelet/pki')],
      ],
      'Started kubelet',
    );
  }

  async startProxy(): Promise<void> {
    const file = this.machine.path('proxy.yaml');
    const command = ['env', `PATH=${process.env.PATH}:/usr/sbin:/sbin`, kubernetesTool('kube-proxy'), '--config'];
    await this.#start('kube-proxy', [...command, file], 'Caches are synced');
  }

  async #start(name: 'containerd' | 'kubelet' | 'kube-proxy', command: readonly string[], ready: string) {
    this.#running.set(name, await this.machine.inside.start(command, ready));
  }

  /** Ends one of them; pods go on. */
  async stop(name: 'containerd' | 'kubelet' | 'kube-proxy', signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const daemon = this.#running.get(name);
    if (daemon !== undefined) await endInside(daemon, signal);
  }

  /** Whether one of them has ended, or was never started. */
  hasEnded(name: 'containerd' | 'kubelet' | 'kube-proxy'): boolean {
    return this.#running.get(name)?.hasEnded ?? true;
  }

  /** What one of them has logged last. */
  log(name: 'containerd' | 'kubelet' | 'kube-proxy', lines = 30): string {
    return (this.#running.get(name)?.lines ?? []).slice(-lines).join('\n');
  }

  /** Anonymous questions are answered: nobody else is in the network of the lab. */
  #kubelet(): object {
    const { machine } = this;
    return {
      ...{ apiVersion: 'kubelet.config.k8s.io/v1beta1', kind: 'KubeletConfiguration' },
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: 'AlwaysAllow' },
      ...{ cgroupDriver: 'cgroupfs', cgroupRoot: machine.cgroup, failSwapOn: false, failCgroupV1: false },
      containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
      evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
      ...{ imageGCHighThresholdPercent: 100, imageGCLowThresholdPercent: 99, registryPullQPS: 0, eventRecordQPS: 0 },
      ...{ maxPods: 200, oomScoreAdj: 0, maxOpenFiles: 20000, volumePluginDir: machine.path('volume-plugins') },
      staticPodPath: machine.path('static'),
      // A node that is off is known to be so within seconds.
      ...{ nodeStatusUpdateFrequency: '2s', nodeLeaseDurationSeconds: 4 },
    };
  }

  #proxy(): object {
    return {
      ...{ apiVersion: 'kubeproxy.config.k8s.io/v1alpha1', kind: 'KubeProxyConfiguration', mode: this.#options.proxy },
      ...{ oomScoreAdj: 0, hostnameOverride: this.machine.name, clusterCIDR: '10.0.0.0/16,fd00:10::/48' },
      clientConnection: { kubeconfig: this.#options.file('proxy.kubeconfig') },
      conntrack: { maxPerCore: 0, tcpCloseWaitTimeout: '0s', tcpEstablishedTimeout: '0s' },
    };
  }
}

/** Those of version 1 of cgroups, one in each hierarchy: a kubelet makes only what is below. */
function makeControlGroups(name: string): void {
  const base = '/sys/fs/cgroup';
  const versionOne = readdirSync(base).filter((each) => existsSync(join(base, each, 'tasks')));
  for (const hierarchy of versionOne) mkdirSync(join(base, hierarchy, name), { recursive: true });
  for (const file of versionOne.includes('cpuset') ? ['cpuset.cpus', 'cpuset.mems'] : [])
    writeFileSync(join(base, 'cpuset', name, file), readFileSync(join(base, 'cpuset', file)));
}

/** For containerd 2 and 1 alike, which reads this version, too; root of a machine of tests may lack CAP_SYS_RESOURCE. */
const containerdConfiguration = (folder: string): string => `version = 2
root = "${folder}/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${sandboxImage}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`;

/** containerd 2 where it is built, and its plugins; else Debian's. */
export const newestRelease = (): Release => (existsSync(releases.two.program) ? releases.two : releases.debian);

/** Waits until something holds; the guard of the test ends what does not. */
export async function until(holds: () => Promise<boolean>, milliseconds = 100): Promise<void> {
  while (!(await holds())) await setTimeout(milliseconds);
}
