import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { certificateFor } from './certificate.ts';
import { hangsAfterMs } from './guard.ts';
import type { Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';
import { type Outcome, run } from './run.ts';
import { kubernetesTool, missingForLab, missingFromKubernetes } from './tools.ts';

const root = resolve(import.meta.dirname, '../..');

/** Why no API server can be started here, or `undefined` when one can. */
const missingForCluster = (): string | undefined =>
  missingForLab() ?? missingFromKubernetes(['etcd', 'kube-apiserver', 'kubectl']);

/** An object of the API, as kubectl shows it. */
// biome-ignore lint/suspicious/noExplicitAny: any object of Kubernetes
export type Shown = any;

/** Options of every test of the tier. */
export const clusterTest = { timeout: hangsAfterMs, skip: missingForCluster() ?? false };

/** The control plane's machine: its address in the network of the nodes. */
const address = '172.18.0.2';

/** Of Services, IPv4 first. */
export const serviceRanges = '10.96.0.0/16,fd00:96::/112';

/** Somebody whom the API server knows by a token. */
export interface ApiUser {
  readonly user: string;
  readonly token: string;
  readonly group: string;
}

/** What a control plane needs beside what tests of the API alone do. */
export interface ApiOptions {
  /** By the names of their kubeconfig files. */
  readonly users?: Readonly<Record<string, ApiUser>>;
  readonly flags?: readonly string[];
}

/** Who may speak to the API server: a person who may do all, and agents with the rights that the manifests give them. */
const users = {
  admin: { user: 'admin', token: 'admins-token', group: 'system:masters' },
  agent: {
    user: 'system:serviceaccount:cni-egress:cni-egress',
    token: 'agents-token',
    group: 'system:serviceaccounts',
  },
} as const;

/**
 * A real API server of Kubernetes with its etcd, on a machine of its own in a lab: nothing of it is imitated. There is nothing
 * else of a control plane: Node objects are what a test writes. Ends with the lab.
 */
export class ClusterApi {
  /** Where it runs. */
  readonly machine: Namespace;
  readonly #folder: string;
  readonly #options: ApiOptions;
  #server: Awaited<ReturnType<Namespace['start']>> | undefined;

  private constructor(machine: Namespace, folder: string, options: ApiOptions) {
    this.machine = machine;
    this.#folder = folder;
    this.#options = options;
  }

  /** Starts both, with our definitions and the rights of our service account. */
  static async start(lab: Lab): Promise<ClusterApi> {
    const api = await ClusterApi.bare(lab);
    for (const file of ['namespace', 'custom-resources', 'rbac'])
      await api.kubectl(['apply', '-f', join(root, `install/kustomize/${file}.yaml`)]);
    await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    return api;
  }

  /** Starts both as they come: nothing of ours is there. */
  static async bare(lab: Lab, options: ApiOptions = {}): Promise<ClusterApi> {
    const machine = await lab.namespace('control');
    await lab.front.plug(machine, 'control', 'eth0', [`${address}/16`]);
    const folder = join(lab.folder, 'control');
    mkdirSync(folder);
    const api = new ClusterApi(machine, folder, options);
    api.#writeFiles();
    await machine.start(
      [kubernetesTool('etcd'), '--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync', '--log-level', 'info'],
      'ready to serve client requests',
    );
    await api.startServer();
    return api;
  }

  /** Starts the API server, and waits until it is ready. */
  async startServer(): Promise<void> {
    const file = (name: string) => this.file(name);
    this.#server = await this.machine.start(
      [
        ...[kubernetesTool('kube-apiserver'), '--etcd-servers', 'http://127.0.0.1:2379'],
        ...['--advertise-address', address, '--secure-port', '6443'],
        ...['--tls-cert-file', file('server.crt'), '--tls-private-key-file', file('server.key')],
        ...['--token-auth-file', file('tokens.csv'), '--authorization-mode', 'Node,RBAC'],
        ...['--service-account-issuer', 'https://kubernetes.default.svc', '--service-account-key-file', file('sa.pub')],
        ...['--service-account-signing-key-file', file('sa.key'), '--service-cluster-ip-range', serviceRanges],
        ...(this.#options.flags ?? []),
      ],
      'Serving securely',
    );
    for (;;) {
      const { code } = await this.try(['get', '--raw', '/readyz']);
      if (code === 0) return;
      if (this.#server.hasEnded) throw new Error(this.#server.lines.slice(-20).join('\n'));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Ends the API server; what it knows stays in etcd. */
  async stopServer(): Promise<void> {
    await this.#server?.stop('SIGKILL');
  }

  #writeFiles(): void {
    const write = (name: string, text: string) => writeFileSync(join(this.#folder, name), text);
    const { certificate, key } = certificateFor(address, '127.0.0.1', '10.96.0.1');
    write('server.crt', certificate);
    write('server.key', key);
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    write('sa.pub', publicKey.export({ type: 'spki', format: 'pem' }).toString());
    write('sa.key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const all = { ...users, ...this.#options.users };
    write(
      'tokens.csv',
      Object.values(all)
        .map(({ token, user, group }) => `${token},${user},${user},"${group}"\n`)
        .join(''),
    );
    for (const [name, { token }] of Object.entries(all)) write(`${name}.kubeconfig`, this.#kubeconfig(token));
  }

  #kubeconfig(token: string): string {
    const server = `https://${address}:6443`;
    return JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'lab' },
      clusters: [{ name: 'lab', cluster: { server, 'certificate-authority': join(this.#folder, 'server.crt') } }],
      users: [{ name: 'lab', user: { token } }],
      contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'lab' } }],
    });
  }

  /** A kubeconfig file of an agent, on every machine of the lab. */
  get agentsFile(): string {
    return this.file('agent.kubeconfig');
  }

  /** One of its files, by its name: of each user there is `NAME.kubeconfig`. */
  file(name: string): string {
    return join(this.#folder, name);
  }

  /** What kubectl says, whatever that is. */
  try(words: readonly string[], stdin?: string): Promise<Outcome> {
    const command = [kubernetesTool('kubectl'), '--kubeconfig', join(this.#folder, 'admin.kubeconfig'), ...words];
    return run(this.machine.inside(command), stdin === undefined ? {} : { stdin });
  }

  /** What kubectl says when it succeeds. */
  async kubectl(words: readonly string[], stdin?: string): Promise<string> {
    const { code, stdout, stderr } = await this.try(words, stdin);
    if (code === 0) return stdout;
    throw new Error(`kubectl ${words.join(' ')}: exit code ${code}\n${stdin ?? ''}${stdout}${stderr}`);
  }

  /** Applies objects; what kubectl says, whatever that is. */
  apply(...objects: readonly object[]): Promise<Outcome> {
    return this.try(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  }

  /** Applies objects that have to be accepted. */
  async mustApply(...objects: readonly object[]): Promise<void> {
    const { code, stdout, stderr } = await this.apply(...objects);
    if (code !== 0) throw new Error(`kubectl apply: exit code ${code}\n${stdout}${stderr}`);
  }

  /** An object as it is now. */
  async get(kind: string, name: string): Promise<Shown> {
    return JSON.parse(await this.kubectl(['get', kind, name, '-o', 'json']));
  }

  /** Waits until an object is as it should be. */
  async until(kind: string, name: string, isSo: (object: Shown) => boolean): Promise<Shown> {
    for (;;) {
      const object = await this.get(kind, name);
      if (isSo(object)) return object;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  /** A node as its kubelet would have registered it: ready. */
  async node(name: string, labels: Readonly<Record<string, string>>, address: string, podCIDR: string): Promise<void> {
    const object = {
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } },
      spec: { podCIDR, podCIDRs: [podCIDR] },
    };
    await this.mustApply(object);
    const status = {
      addresses: [{ type: 'InternalIP', address }],
      conditions: [{ type: 'Ready', status: 'True', reason: 'Lab', message: 'it is' }],
    };
    await this.kubectl(
      ['replace', '--raw', `/api/v1/nodes/${name}/status`, '-f', '-'],
      JSON.stringify({ ...object, status }),
    );
  }
}

/** One of our objects. */
export const egressObject = (kind: 'EgressExit' | 'EgressPolicy', name: string, spec: object): object => ({
  apiVersion: 'egress.cni/v1alpha1',
  kind,
  metadata: { name },
  spec,
});
