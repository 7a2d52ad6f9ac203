import { GrpcClient } from './grpc.ts';
import { decode, encode, type Message, type Values } from './protobuf.ts';

/**
 * What a kubelet says to a container runtime, as far as tests need it: messages and numbers of fields are those of
 * `runtime.v1` in the Kubernetes CRI API.
 */
const sandboxMetadata = {
  name: [1, 'text'],
  uid: [2, 'text'],
  namespace: [3, 'text'],
  attempt: [4, 'number'],
} as const satisfies Message;

const portMapping = {
  protocol: [1, 'number'],
  containerPort: [2, 'number'],
  hostPort: [3, 'number'],
  hostIp: [4, 'text'],
} as const satisfies Message;

/** The namespace of the pod is 0, that of the node 2. */
const namespaceOptions = { network: [1, 'number'], pid: [2, 'number'], ipc: [3, 'number'] } as const satisfies Message;

const sandboxSecurity = { namespaceOptions: [1, namespaceOptions], privileged: [6, 'boolean'] } as const;

const linuxSandbox = { cgroupParent: [1, 'text'], securityContext: [2, sandboxSecurity] } as const satisfies Message;

const dns = { servers: [1, ['text']], searches: [2, ['text']], options: [3, ['text']] } as const satisfies Message;

const sandboxConfig = {
  metadata: [1, sandboxMetadata],
  hostname: [2, 'text'],
  logDirectory: [3, 'text'],
  dnsConfig: [4, dns],
  portMappings: [5, [portMapping]],
  labels: [6, 'map'],
  annotations: [7, 'map'],
  linux: [8, linuxSandbox],
} as const satisfies Message;

/** `propagation` 1 lets the container see what the node mounts later; 2 also the other way round. */
const mount = {
  containerPath: [1, 'text'],
  hostPath: [2, 'text'],
  readonly: [3, 'boolean'],
  propagation: [5, 'number'],
} as const satisfies Message;

/** `seccomp` without a type is the runtime's own profile. */
const containerSecurity = {
  capabilities: [1, { add: [1, ['text']], drop: [2, ['text']] }],
  privileged: [2, 'boolean'],
  namespaceOptions: [3, namespaceOptions],
  readonlyRootfs: [7, 'boolean'],
  noNewPrivileges: [11, 'boolean'],
  seccomp: [15, { type: [1, 'number'] }],
} as const;

const containerConfig = {
  metadata: [1, { name: [1, 'text'], attempt: [2, 'number'] }],
  image: [2, { image: [1, 'text'] }],
  command: [3, ['text']],
  args: [4, ['text']],
  envs: [6, [{ key: [1, 'text'], value: [2, 'text'] }]],
  mounts: [7, [mount]],
  logPath: [11, 'text'],
  linux: [15, { securityContext: [2, containerSecurity] }],
} as const satisfies Message;

const sandboxId = { podSandboxId: [1, 'text'] } as const satisfies Message;
const containerId = { containerId: [1, 'text'] } as const satisfies Message;
const verbose = { verbose: [1, 'boolean'] } as const satisfies Message;
const nothing = {} as const satisfies Message;

const sandboxStatus = {
  id: [1, 'text'],
  metadata: [2, sandboxMetadata],
  state: [3, 'number'],
  network: [5, { ip: [1, 'text'], additionalIps: [2, [{ ip: [1, 'text'] }]] }],
} as const satisfies Message;

const containerStatus = {
  id: [1, 'text'],
  state: [3, 'number'],
  exitCode: [7, 'number'],
  reason: [10, 'text'],
  message: [11, 'text'],
} as const satisfies Message;

const condition = {
  type: [1, 'text'],
  status: [2, 'boolean'],
  reason: [3, 'text'],
  message: [4, 'text'],
} as const satisfies Message;

/** Name of a call → its request and its answer, and the service if it is not the one for pods. */
const calls = {
  ImageStatus: [{ image: [1, { image: [1, 'text'] }] }, { image: [1, { id: [1, 'text'] }] }, 'ImageService'],
  Version: [nothing, { runtimeName: [2, 'text'], runtimeVersion: [3, 'text'] }],
  Status: [verbose, { status: [1, { conditions: [1, [condition]] }], info: [2, 'map'] }],
  RunPodSandbox: [{ config: [1, sandboxConfig] }, sandboxId],
  StopPodSandbox: [sandboxId, nothing],
  RemovePodSandbox: [sandboxId, nothing],
  PodSandboxStatus: [
    { ...sandboxId, verbose: [2, 'boolean'] },
    { status: [1, sandboxStatus], info: [2, 'map'] },
  ],
  ListPodSandbox: [
    nothing,
    { items: [1, [{ id: [1, 'text'], metadata: [2, sandboxMetadata], state: [3, 'number'] }]] },
  ],
  CreateContainer: [{ ...sandboxId, config: [2, containerConfig], sandboxConfig: [3, sandboxConfig] }, containerId],
  StartContainer: [containerId, nothing],
  StopContainer: [{ ...containerId, timeout: [2, 'number'] }, nothing],
  RemoveContainer: [containerId, nothing],
  ContainerStatus: [containerId, { status: [1, containerStatus] }],
  ExecSync: [
    { ...containerId, cmd: [2, ['text']], timeout: [3, 'number'] },
    { stdout: [1, 'text'], stderr: [2, 'text'], exitCode: [3, 'number'] },
  ],
} as const satisfies Record<string, readonly [Message, Message, string?]>;

type Calls = typeof calls;

/** The name of a call of the CRI. */
export type CallName = keyof Calls;

/** What a pod is asked for with. */
export type SandboxConfig = Values<typeof sandboxConfig>;

/** What a container is asked for with. */
export type ContainerConfig = Values<typeof containerConfig>;

/** A path of the node that a container sees. */
export type Mount = Values<typeof mount>;

/** No call of a kubelet takes longer by itself. */
const longestMs = 120_000;

/** A container runtime, as a kubelet sees it. */
export class Cri {
  readonly #client: GrpcClient;

  constructor(socket: string) {
    this.#client = new GrpcClient(socket);
  }

  /** Makes a call; what it fails with is a {@link GrpcError}. The runtime gives up at the deadline. */
  async call<Name extends CallName>(
    name: Name,
    request: Values<Calls[Name][0]>,
    deadlineMs = longestMs,
  ): Promise<Values<Calls[Name][1]>> {
    const [question, answer, service = 'RuntimeService']: readonly [Message, Message, string?] = calls[name];
    const bytes = encode(question, request as Values<Message>);
    const answered = await this.#client.call(`/runtime.v1.${service}/${name}`, bytes, deadlineMs);
    return decode(answer, answered) as Values<Calls[Name][1]>;
  }

  close(): void {
    this.#client.close();
  }
}
