import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parse } from 'yaml';
import { serviceAccount } from '../../../src/kubernetes/client.ts';
import type { Containerd } from './containerd.ts';
import type { ContainerConfig } from './cri.ts';
import type { Executed } from './pod.ts';

/** What this reads of install/kustomize/daemon-set.yaml. */
interface Manifest {
  readonly containers: readonly ManifestContainer[];
  readonly volumes: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string };
    readonly configMap?: object;
    readonly emptyDir?: object;
  }[];
}

interface Probe {
  readonly exec?: { readonly command: readonly string[] };
  readonly httpGet?: { readonly host: string; readonly port: number; readonly path: string };
}

interface ManifestContainer {
  readonly name: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly securityContext: {
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  };
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
    readonly mountPropagation?: 'HostToContainer';
  }[];
}

/** What an {@link InstallerPod} is started with. */
export interface InstallerOptions {
  /** One that was imported into containerd. */
  readonly image: string;
  /** A folder with what the ConfigMap holds. */
  readonly policies: string;
  /** Of the installer, instead of the image's entry point. */
  readonly command?: readonly string[];
  /** Of the installer, instead of those of the manifest. */
  readonly args?: readonly string[];
  /** With the agent beside the installer, as in the manifest; by default the installer is alone. */
  readonly agent?: true;
  /** A folder with what the kubelet gives a service account, and where its API is. */
  readonly account?: { readonly folder: string; readonly port: number };
}

const manifestPath = new URL('../../../install/kustomize/daemon-set.yaml', import.meta.url);

/** The pod of the manifest for a host whose folder of plugins is another one: that is what its text says then. */
function manifest(pluginFolder: string): Manifest {
  const text = readFileSync(manifestPath, 'utf8').replaceAll('/opt/cni/bin', pluginFolder);
  return parse(text).spec.template.spec;
}

const hostToContainer = 1;
const hostNetwork = { namespaceOptions: { network: 2 } };

/** The pod of the installer, as a kubelet makes it of the manifest: arguments, mounts and rights of its containers are those. */
export class InstallerPod implements AsyncDisposable {
  readonly #containerd: Containerd;
  readonly #folder: string;
  #sandbox = '';
  readonly #containers = new Map<string, { readonly id: string; readonly manifest: ManifestContainer }>();

  private constructor(containerd: Containerd, folder: string) {
    this.#containerd = containerd;
    this.#folder = folder;
  }

  static async start(containerd: Containerd, options: InstallerOptions): Promise<InstallerPod> {
    const name = containerd.node.lab.unique('installer');
    const folder = join(containerd.node.folder, name);
    await mkdir(join(folder, 'empty'), { recursive: true });
    const pod = new InstallerPod(containerd, folder);
    const sandboxConfig = {
      metadata: { name, uid: randomUUID(), namespace: 'cni-egress', attempt: 0 },
      logDirectory: folder,
      linux: { cgroupParent: `/${containerd.node.machine.name}`, securityContext: hostNetwork },
    };
    const { podSandboxId = '' } = await containerd.cri.call('RunPodSandbox', { config: sandboxConfig });
    pod.#sandbox = podSandboxId;
    const { containers, volumes } = manifest(dirname(containerd.machine.plugin('egress')));
    const pathOf = Object.fromEntries(
      volumes.map((volume) => [
        volume.name,
        volume.hostPath?.path ?? (volume.configMap ? options.policies : join(folder, 'empty')),
      ]),
    );
    for (const container of options.agent ? containers : containers.slice(0, 1)) {
      const { account, image, ...own } = options;
      const more =
        container.name === installer ? { ...own, ...(account && { account }) } : { command: container.command };
      await pod.#start(container, containerConfig(container, { image, pathOf, ...more }), sandboxConfig);
    }
    return pod;
  }

  async #start(manifest: ManifestContainer, config: ContainerConfig, sandboxConfig: object): Promise<void> {
    const { cri } = this.#containerd;
    const podSandboxId = this.#sandbox;
    const { containerId = '' } = await cri.call('CreateContainer', { podSandboxId, config, sandboxConfig });
    this.#containers.set(manifest.name, { id: containerId, manifest });
    await cri.call('StartContainer', { containerId });
  }

  #container(name: string) {
    const container = this.#containers.get(name);
    if (container === undefined) throw new Error(`The pod has no container ${name}`);
    return container;
  }

  /** Runs the readiness probe of the installer once. */
  async probe(): Promise<Executed> {
    const { command = [] } = this.#container(installer).manifest.readinessProbe?.exec ?? {};
    return await this.execute(command, installer);
  }

  /** What the agent answers to its probes, of readiness and of liveness, as the kubelet of the node asks. */
  async probes(): Promise<readonly string[]> {
    const { readinessProbe, livenessProbe } = this.#container('agent').manifest;
    const ask = ({ httpGet }: Probe = {}) => {
      const url = `http://${httpGet?.host}:${httpGet?.port}${httpGet?.path}`;
      const script = `fetch("${url}").then((answer) => answer.text()).then((text) => process.stdout.write(text))`;
      return this.#containerd.node.machine.must([process.execPath, '-e', script]);
    };
    return await Promise.all([readinessProbe, livenessProbe].map(ask));
  }

  /** Runs a command in a container, as `kubectl exec` does: in that of the agent by default. */
  async execute(cmd: readonly string[], container = 'agent'): Promise<Executed> {
    const answer = await this.#containerd.cri.call('ExecSync', { containerId: this.#container(container).id, cmd });
    return { code: answer.exitCode ?? 0, stdout: answer.stdout ?? '', stderr: answer.stderr ?? '' };
  }

  /** Waits until the probe of the installer succeeds; one that ended first is an error with what it said. */
  async ready(): Promise<void> {
    while ((await this.probe()).code !== 0) {
      await this.#requireRunning(installer);
      await wait(100);
    }
  }

  /** Waits until a container has said that; one that ended first is an error with what it said. */
  async said(text: string, container = installer): Promise<void> {
    while (!(await this.log(container)).includes(text)) {
      await this.#requireRunning(container);
      await wait(100);
    }
  }

  async #requireRunning(container: string): Promise<void> {
    if (!(await this.isRunning(container))) throw new Error(`The ${container} ended:\n${await this.log(container)}`);
  }

  async isRunning(container = installer): Promise<boolean> {
    return (await this.#status(container))?.state === 1;
  }

  async #status(container: string) {
    const { id: containerId } = this.#container(container);
    return (await this.#containerd.cri.call('ContainerStatus', { containerId })).status;
  }

  /** Waits for the end of an installer that does not stay. Returns its exit code. */
  async ended(): Promise<number> {
    while (await this.isRunning()) await wait(50);
    return (await this.#status(installer))?.exitCode ?? 0;
  }

  log(container = installer): Promise<string> {
    return readFile(join(this.#folder, `${container}.log`), 'utf8');
  }

  /** Ends it as a kubelet does when the pod is deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { cri } = this.#containerd;
    const all = [...this.#containers.values()];
    await Promise.all(all.map(({ id: containerId }) => cri.call('StopContainer', { containerId, timeout: 10 })));
    await cri.call('StopPodSandbox', { podSandboxId: this.#sandbox });
    await cri.call('RemovePodSandbox', { podSandboxId: this.#sandbox });
  }
}

/** The first container of the manifest. */
const installer = 'installer';

function containerConfig(
  { name: containerName, args, env, securityContext, volumeMounts }: ManifestContainer,
  options: Pick<InstallerOptions, 'image' | 'args' | 'account'> & {
    readonly command?: readonly string[] | undefined;
    readonly pathOf: Readonly<Record<string, string>>;
  },
): ContainerConfig {
  const { capabilities, readOnlyRootFilesystem, allowPrivilegeEscalation } = securityContext;
  const { account } = options;
  return {
    metadata: { name: containerName, attempt: 0 },
    image: { image: options.image },
    command: options.command ?? [],
    args: options.args ?? args ?? [],
    envs: [...env.map(({ name: key, value = 'one' }) => ({ key, value })), ...(account ? apiAt(account.port) : [])],
    mounts: [
      ...volumeMounts.map(({ name, mountPath, readOnly = false, mountPropagation }) => ({
        containerPath: mountPath,
        hostPath: options.pathOf[name] ?? '',
        readonly: readOnly,
        ...(mountPropagation && { propagation: hostToContainer }),
      })),
      ...(account ? [{ containerPath: serviceAccount, hostPath: account.folder, readonly: true }] : []),
    ],
    logPath: `${containerName}.log`,
    linux: {
      securityContext: {
        ...hostNetwork,
        capabilities,
        readonlyRootfs: readOnlyRootFilesystem,
        noNewPrivileges: !allowPrivilegeEscalation,
        seccomp: {},
      },
    },
  };
}

/** What the kubelet puts into the environment of every container. */
const apiAt = (port: number) => [
  { key: 'KUBERNETES_SERVICE_HOST', value: '127.0.0.1' },
  { key: 'KUBERNETES_SERVICE_PORT', value: String(port) },
];
