import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parse } from 'yaml';
import { serviceAccount } from '../../../src/installer/kubernetes.ts';
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

interface ManifestContainer {
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly readinessProbe: { readonly exec: { readonly command: readonly string[] } };
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
  /** Instead of the image's entry point. */
  readonly command?: readonly string[];
  /** Instead of those of the manifest. */
  readonly args?: readonly string[];
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

/** The installer in a container, as a kubelet makes it of the manifest: its arguments, mounts and rights are those. */
export class InstallerPod implements AsyncDisposable {
  readonly #containerd: Containerd;
  readonly #folder: string;
  readonly #manifest: ManifestContainer;
  #sandbox = '';
  #container = '';

  private constructor(containerd: Containerd, folder: string, container: ManifestContainer) {
    this.#containerd = containerd;
    this.#folder = folder;
    this.#manifest = container;
  }

  static async start(containerd: Containerd, options: InstallerOptions): Promise<InstallerPod> {
    const name = containerd.node.lab.unique('installer');
    const folder = join(containerd.node.folder, name);
    await mkdir(join(folder, 'empty'), { recursive: true });
    const { containers, volumes } = manifest(dirname(containerd.machine.plugin('egress')));
    const [container] = containers;
    if (container === undefined) throw new Error('The DaemonSet has no container');
    const pod = new InstallerPod(containerd, folder, container);
    const sandboxConfig = {
      metadata: { name, uid: randomUUID(), namespace: 'cni-egress', attempt: 0 },
      logDirectory: folder,
      linux: { cgroupParent: `/${containerd.node.machine.name}`, securityContext: hostNetwork },
    };
    const { cri } = containerd;
    const { podSandboxId = '' } = await cri.call('RunPodSandbox', { config: sandboxConfig });
    pod.#sandbox = podSandboxId;
    const pathOf = Object.fromEntries(
      volumes.map((volume) => [
        volume.name,
        volume.hostPath?.path ?? (volume.configMap ? options.policies : join(folder, 'empty')),
      ]),
    );
    const config = containerConfig(container, { ...options, pathOf });
    const { containerId = '' } = await cri.call('CreateContainer', { podSandboxId, config, sandboxConfig });
    pod.#container = containerId;
    await cri.call('StartContainer', { containerId });
    return pod;
  }

  /** Runs its readiness probe once. */
  async probe(): Promise<Executed> {
    const { command: cmd } = this.#manifest.readinessProbe.exec;
    const answer = await this.#containerd.cri.call('ExecSync', { containerId: this.#container, cmd });
    return { code: answer.exitCode ?? 0, stdout: answer.stdout ?? '', stderr: answer.stderr ?? '' };
  }

  /** Waits until the probe succeeds; one that ended first is an error with what it said. */
  async ready(): Promise<void> {
    while ((await this.probe()).code !== 0) {
      if (!(await this.isRunning())) throw new Error(`The installer ended:\n${await this.log()}`);
      await wait(100);
    }
  }

  /** Waits until it has said that; one that ended first is an error with what it said. */
  async said(text: string): Promise<void> {
    while (!(await this.log()).includes(text)) {
      if (!(await this.isRunning())) throw new Error(`The installer ended:\n${await this.log()}`);
      await wait(100);
    }
  }

  async isRunning(): Promise<boolean> {
    const { status } = await this.#containerd.cri.call('ContainerStatus', { containerId: this.#container });
    return status?.state === 1;
  }

  /** Waits for the end of one that does not stay. Returns its exit code. */
  async ended(): Promise<number> {
    while (await this.isRunning()) await wait(50);
    const { status } = await this.#containerd.cri.call('ContainerStatus', { containerId: this.#container });
    return status?.exitCode ?? 0;
  }

  log(): Promise<string> {
    return readFile(join(this.#folder, 'installer.log'), 'utf8');
  }

  /** Ends it as a kubelet does when the pod is deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { cri } = this.#containerd;
    await cri.call('StopContainer', { containerId: this.#container, timeout: 10 });
    await cri.call('StopPodSandbox', { podSandboxId: this.#sandbox });
    await cri.call('RemovePodSandbox', { podSandboxId: this.#sandbox });
  }
}

function containerConfig(
  { args, env, securityContext, volumeMounts }: ManifestContainer,
  options: InstallerOptions & { readonly pathOf: Readonly<Record<string, string>> },
): ContainerConfig {
  const { capabilities, readOnlyRootFilesystem, allowPrivilegeEscalation } = securityContext;
  const { account } = options;
  return {
    metadata: { name: 'installer', attempt: 0 },
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
    logPath: 'installer.log',
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
