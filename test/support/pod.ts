import { createHash, randomUUID } from 'node:crypto';
import type { Json } from './chain.ts';
import type { Namespace } from './namespace.ts';
import type { Daemon, Outcome } from './run.ts';
import { program, tool } from './tools.ts';
import { serve, world } from './world.ts';

/** The parts of a CNI result that tests look at. */
export interface CniResult {
  readonly cniVersion: string;
  readonly ips: readonly { readonly address: string; readonly gateway?: string; readonly interface?: number }[];
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly [key: string]: unknown;
}

/** What can be asked with. */
export type Protocol = 'tcp' | 'udp' | 'icmp';

/** All of {@link Protocol}. */
export const protocols = ['tcp', 'udp', 'icmp'] as const satisfies readonly Protocol[];

/**
 * Asks a service once. The answer is the address that the service saw; for icmp it is `reply`, because nobody tells;
 * without an answer it is `nothing`.
 */
export async function ask(from: Namespace, protocol: Protocol, address: string, port = 8080): Promise<string> {
  const { code, stdout } = await from.run([tool('python3'), program('ask.py'), protocol, address, String(port)]);
  return code === 0 ? (stdout.trim().split(' ')[0] ?? '') : 'nothing';
}

/** Comes when each of several senders (see {@link Pod.send}) has sent to all its addresses a hundred times more, or so. */
export async function sentMore(...senders: readonly Daemon[]): Promise<void> {
  for (const sender of senders) {
    for (let lines = 0; lines < 5; lines++) await sender.line('round ', sender.lines.length);
  }
}

/** A pod: a network namespace, and what a kubelet knows about it. */
export class Pod {
  readonly network: Namespace;
  readonly name: string;
  readonly namespace: string;
  /** The API server gives another one to a pod that it knows. */
  uid: string = randomUUID();
  readonly interface = 'eth0';
  readonly #wanted: string | undefined;
  /** Of the pod's manifest: key → value. The runtime passes them to plugins that declare {@link capabilities}. */
  annotations: Readonly<Record<string, string>> | undefined;
  /** What the last ADD answered, which is `prevResult` of everything after it. */
  result: CniResult | undefined;

  constructor(network: Namespace, name: string, namespace: string, wanted?: string) {
    this.network = network;
    this.name = name;
    this.namespace = namespace;
    this.#wanted = wanted;
  }

  /** What a runtime knows of the pod beside CNI_ARGS. */
  get runtimeConfig(): Json {
    return this.annotations === undefined ? {} : { 'io.kubernetes.cri.pod-annotations': this.annotations };
  }

  /** As cnitool makes it from the path of the network namespace. */
  get containerID(): string {
    return `cnitool-${createHash('sha512').update(this.network.path).digest('hex').slice(0, 20)}`;
  }

  /** CNI_ARGS as containerd gives them, and the address that host-local should give if one is wanted. */
  get args(): string {
    const pod = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${this.namespace};K8S_POD_NAME=${this.name};K8S_POD_UID=${this.uid}`;
    return this.#wanted === undefined ? pod : `${pod};IP=${this.#wanted}`;
  }

  /** The pod's addresses without their lengths, IPv4 first. */
  get addresses(): readonly string[] {
    const all = (this.result?.ips ?? []).map((ip) => ip.address.replace(/\/.*/, ''));
    return all.toSorted((a, b) => Number(a.includes(':')) - Number(b.includes(':')));
  }

  /** {@link ask} from the pod. */
  ask(protocol: Protocol, address: string, port?: number): Promise<string> {
    return ask(this.network, protocol, address, port);
  }

  /** {@link ask} each of several services, those of {@link world} if none are given. */
  askEach(protocol: Protocol = 'tcp', addresses: readonly string[] = world.service): Promise<readonly string[]> {
    return Promise.all(addresses.map((address) => this.ask(protocol, address)));
  }

  /** {@link ask} of somebody at each address of the pod, which has to {@link serve}. */
  askedFrom(from: Namespace, protocol: Protocol): Promise<readonly string[]> {
    return Promise.all(this.addresses.map((address) => ask(from, protocol, address)));
  }

  /** Asks each service once from a port of the pod; `<address> <port>` that the service saw, or `nothing`. */
  askFromPort(
    sourcePort: number,
    protocol: 'tcp' | 'udp',
    addresses: readonly string[] = world.service,
  ): Promise<readonly string[]> {
    return Promise.all(
      addresses.map(async (address) => {
        const { code, stdout } = await this.run('ask.py', protocol, address, '8080', '1', String(sourcePort));
        return code === 0 ? stdout.trim() : 'nothing';
      }),
    );
  }

  /** Runs one of our programs to its end. */
  run(name: string, ...args: readonly string[]): Promise<Outcome> {
    return this.network.run([tool('python3'), program(name), ...args]);
  }

  /** Starts to send to all addresses, in every protocol, until the daemon is stopped; see programs/send.py. */
  send(...addresses: readonly string[]): Promise<Daemon> {
    return this.network.start([tool('python3'), program('send.py'), ...addresses], 'sending');
  }

  /** Starts a service that others can ask. */
  serve(): Promise<void> {
    return serve(this.network);
  }
}
