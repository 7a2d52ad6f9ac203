import { dirname } from 'node:path';
import type { Protocol } from '../pod.ts';
import { program } from '../tools.ts';
import type { Containerd } from './containerd.ts';
import type { ContainerConfig, Mount, SandboxConfig } from './cri.ts';
import { deadlineExceeded, GrpcError } from './grpc.ts';
import { image } from './image.ts';

/** What a container is started with. */
export interface ContainerOptions {
  /** Beside the node's /usr, which every container can read: its programs are those of the machine. */
  readonly mounts?: readonly Mount[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly privileged?: boolean;
}

/** What a pod is asked for with; its command is run in its first container. */
export interface PodOptions extends ContainerOptions {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Port of the node → port of the pod, for TCP. */
  readonly hostPorts?: Readonly<Record<number, number>>;
  /** The pod has the node's network, and no plugin is called. */
  readonly hostNetwork?: boolean;
  readonly command?: readonly string[];
  /** After that many milliseconds the runtime has to give up to start it. */
  readonly deadlineMs?: number;
}

/** How a command in a container ended. */
export interface Executed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const nodeNamespace = 2;

/** A pod that a container runtime made. */
export class RuntimePod {
  readonly name: string;
  readonly namespace: string;
  /** The runtime's id of it, which plugins get as CNI_CONTAINERID. */
  readonly id: string;
  readonly #runtime: Containerd;
  readonly #config: SandboxConfig;
  readonly #hostNetwork: boolean;
  #container = '';
  #containers = 0;

  private constructor(runtime: Containerd, id: string, config: SandboxConfig, hostNetwork: boolean) {
    this.name = config.metadata?.name ?? '';
    this.namespace = config.metadata?.namespace ?? '';
    this.id = id;
    this.#runtime = runtime;
    this.#config = config;
    this.#hostNetwork = hostNetwork;
  }

  static async run(
    runtime: Containerd,
    options: PodOptions & Required<Pick<PodOptions, 'name' | 'uid'>>,
    logDirectory: string,
  ): Promise<RuntimePod> {
    const config = { ...sandboxConfig(options), logDirectory, ...inCgroup(runtime, options) };
    const { podSandboxId = '' } = await runtime.cri.call('RunPodSandbox', { config }, options.deadlineMs);
    return new RuntimePod(runtime, podSandboxId, config, options.hostNetwork ?? false);
  }

  /** Starts a container, which {@link exec} then goes to. Returns its id. */
  async start(command: readonly string[], options: ContainerOptions = {}): Promise<string> {
    const config = containerConfig(`container-${++this.#containers}`, command, options, this.#hostNetwork);
    const request = { podSandboxId: this.id, config, sandboxConfig: this.#config };
    const { containerId = '' } = await this.#runtime.cri.call('CreateContainer', request);
    await this.#runtime.cri.call('StartContainer', { containerId });
    this.#container = containerId;
    return containerId;
  }

  /** Runs a command in the container that was started last, to its end. */
  async exec(...cmd: readonly string[]): Promise<Executed> {
    const answer = await this.#runtime.cri.call('ExecSync', { containerId: this.#container, cmd });
    return { code: answer.exitCode ?? 0, stdout: answer.stdout ?? '', stderr: answer.stderr ?? '' };
  }

  /** Asks a service once; see `ask` in ../pod.ts, whose answers these are. */
  async ask(protocol: Protocol, address: string, port = 8080): Promise<string> {
    const { code, stdout } = await this.exec('python3', '/programs/ask.py', protocol, address, String(port));
    return code === 0 ? (stdout.trim().split(' ')[0] ?? '') : 'nothing';
  }

  /** {@link ask} each of several services. */
  askEach(protocol: Protocol, addresses: readonly string[]): Promise<readonly string[]> {
    return Promise.all(addresses.map((address) => this.ask(protocol, address)));
  }

  /** Its addresses as the runtime tells them, and its network namespace there. */
  async status(): Promise<{ addresses: readonly string[]; ready: boolean; network: string }> {
    const answer = await this.#runtime.cri.call('PodSandboxStatus', { podSandboxId: this.id, verbose: true });
    const { ip = '', additionalIps = [] } = answer.status?.network ?? {};
    const { runtimeSpec } = JSON.parse(answer.info?.info ?? '{}');
    const namespaces = (runtimeSpec?.linux?.namespaces ?? []) as readonly { type: string; path?: string }[];
    const network = namespaces.find(({ type }) => type === 'network')?.path ?? '';
    const addresses = [ip, ...additionalIps.map((one) => one.ip ?? '')].filter(Boolean);
    return { addresses, ready: (answer.status?.state ?? 0) === 0, network };
  }

  /** StopPodSandbox; DEL comes with it. */
  async stop(deadlineMs?: number): Promise<void> {
    await this.#runtime.cri.call('StopPodSandbox', { podSandboxId: this.id }, deadlineMs);
  }

  /** RemovePodSandbox; DEL comes once more, without network namespace and `prevResult`. */
  async remove(): Promise<void> {
    await this.#runtime.cri.call('RemovePodSandbox', { podSandboxId: this.id });
  }

  /** Stops and removes it, as a kubelet does. */
  async end(): Promise<void> {
    await this.stop();
    await this.remove();
  }
}

function sandboxConfig(options: PodOptions & Required<Pick<PodOptions, 'name' | 'uid'>>): SandboxConfig {
  const { name, uid, namespace = 'default', annotations = {}, hostPorts = {} } = options;
  return {
    metadata: { name, uid, namespace, attempt: 0 },
    annotations,
    portMappings: Object.entries(hostPorts).map(([hostPort, containerPort]) => ({
      hostPort: Number(hostPort),
      containerPort,
    })),
  };
}

/** A cgroup that is named as all that the lab makes, so that it can be found and removed. */
const inCgroup = (runtime: Containerd, { hostNetwork = false, privileged = false }: PodOptions) => ({
  linux: {
    cgroupParent: `/${runtime.node.machine.name}`,
    securityContext: { privileged, ...(hostNetwork ? { namespaceOptions: { network: nodeNamespace } } : {}) },
  },
});

function containerConfig(
  name: string,
  command: readonly string[],
  { mounts = [], environment = {}, privileged = false }: ContainerOptions,
  hostNetwork: boolean,
): ContainerConfig {
  const network = hostNetwork ? { namespaceOptions: { network: nodeNamespace } } : {};
  return {
    metadata: { name, attempt: 0 },
    image: { image },
    command,
    envs: Object.entries({ PATH: '/usr/sbin:/usr/bin', ...environment }).map(([key, value]) => ({ key, value })),
    mounts: [
      { containerPath: '/usr', hostPath: '/usr', readonly: true },
      { containerPath: '/programs', hostPath: dirname(program('ask.py')), readonly: true },
      ...mounts,
    ],
    logPath: `${name}.log`,
    linux: { securityContext: { privileged, ...network } },
  };
}

/** What the runtime said when it refused a pod; a pod that starts is an error. */
export async function refusal(starting: Promise<RuntimePod>): Promise<string> {
  const error = await starting.then(
    (pod) => new Error(`The pod ${pod.name} started`),
    (failed: unknown) => failed,
  );
  if (error instanceof GrpcError && error.code !== deadlineExceeded) return error.message;
  throw error;
}
