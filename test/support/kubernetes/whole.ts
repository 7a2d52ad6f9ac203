import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { type ImageOptions, writeImage } from '../../../install/image.ts';
import { Capture } from '../capture.ts';
import { type ClusterApi, egressObject } from '../cluster-api.ts';
import type { Lab } from '../lab.ts';
import { makeImage } from '../runtime/image.ts';
import type { Release } from '../runtime/releases.ts';
import { egressBinary } from '../tools.ts';
import { hardwareAddress, world } from '../world.ts';
import { startControlPlane } from './control-plane.ts';
import { NodePrograms, newestRelease, type ProxyMode, podRanges, until } from './kubelet.ts';
import { Machine } from './machine.ts';

/** A policy file for those who have exits and policies as objects: only the ranges of the cluster are in it. */
export const objectsOnly = { kubernetes: true, clusterCIDRs: world.cluster, exits: [], policies: [] } as const;

/** Addresses that no node has yet, for an exit that leaves as gateways do. */
export const exitAddresses = ['172.18.0.33', 'fd00:172::33'];

/** The exit "internet" with them, whose gateways are nodes with the label `egress=gateway`, and what gives it to all pods of `default`. */
export const internetObjects = [
  egressObject('EgressExit', 'internet', {
    gatewaySelector: { matchLabels: { egress: 'gateway' } },
    addresses: exitAddresses,
  }),
  egressObject('EgressPolicy', 'internet', {
    ...{ namespaces: ['default'], destinations: world.outside, exit: 'internet' },
  }),
];

const root = resolve(import.meta.dirname, '../../..');

/** How a whole cluster is made. */
export interface WholeOptions {
  /** 3, 4 and 5 if none are given; see {@link Machine}. Nodes that join later have to be named in `later`. */
  readonly nodes?: readonly number[];
  readonly later?: readonly number[];
  readonly release?: Release;
  readonly proxy?: ProxyMode;
  /** Nodes register with the taint that keeps pods away until egress is there. */
  readonly taint?: boolean;
  /** Archives of images that nodes have beside that of pods; ours if none are given. */
  readonly images?: readonly string[];
}

/** Which manifests are applied. */
export interface Manifests {
  /** Paths below install/. */
  readonly components?: readonly string[];
  /** Of the image: 0.1.0 if none is given. */
  readonly tag?: string;
  /** The folder of another version of the repository. */
  readonly checkout?: string | undefined;
  /** What a kustomization of one's own changes (https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/patches). */
  readonly patches?: readonly object[];
}

/** One node of a {@link WholeCluster}. */
export interface WholeNode {
  readonly machine: Machine;
  readonly programs: NodePrograms;
  /** Its name in the cluster. */
  readonly name: string;
}

/**
 * A Kubernetes as people run it, in the network of the lab: control plane, kubelets, kube-proxy, containerd; nothing of it is
 * imitated. Nodes route to the pods of each other. The cluster has nothing of ours but the image, on each node.
 */
export class WholeCluster {
  readonly lab: Lab;
  readonly api: ClusterApi;
  readonly #options: WholeOptions;
  readonly #images: readonly string[];
  readonly #nodes = new Map<number, WholeNode>();

  private constructor(lab: Lab, api: ClusterApi, options: WholeOptions, images: readonly string[]) {
    this.lab = lab;
    this.api = api;
    this.#options = options;
    this.#images = images;
  }

  /** Starts all of it, and waits until all nodes are ready. */
  static async start(lab: Lab, options: WholeOptions = {}): Promise<WholeCluster> {
    const { nodes = [3, 4, 5], later = [], images = [ourImage()] } = options;
    const [api, own] = await Promise.all([
      startControlPlane(
        lab,
        [...nodes, ...later].map((number) => `node-${number}`),
      ),
      makeImage(lab.folder),
    ]);
    const cluster = new WholeCluster(lab, api, options, [own, ...images]);
    await Promise.all(nodes.map((number) => cluster.join(number)));
    return cluster;
  }

  get nodes(): readonly WholeNode[] {
    return [...this.#nodes.values()];
  }

  /** A node by its number. */
  node(number: number): WholeNode {
    const node = this.#nodes.get(number);
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  /** A new machine joins, and is ready. */
  async join(number: number): Promise<WholeNode> {
    const machine = new Machine(this.lab, number);
    const { release = newestRelease(), proxy = 'nftables', taint = true } = this.#options;
    const file = (name: string) => this.api.file(name);
    const programs = new NodePrograms(machine, { release, proxy, taint, file, images: this.#images });
    const node = { machine, programs, name: machine.name };
    this.#nodes.set(number, node);
    await this.boot(node);
    const [podCIDR] = podRanges(number);
    await this.api.kubectl([
      ...['patch', 'node', node.name, '-p'],
      JSON.stringify({ spec: { podCIDR, podCIDRs: podRanges(number) } }),
    ]);
    return node;
  }

  /** Switches a machine on, and waits until its node is ready. */
  async boot(node: WholeNode): Promise<void> {
    await node.machine.on();
    await this.#route(node);
    await node.programs.start();
    await until(async () => {
      if (node.programs.hasEnded('kubelet')) throw new Error(`${node.name}:\n${node.programs.log('kubelet')}`);
      return (await this.isReady(node.name)) === 'True';
    });
  }

  /** What the API says of a node: `True`, `Unknown` when its kubelet is silent, or nothing when there is no such node. */
  async isReady(name: string): Promise<string> {
    const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
    const { stdout } = await this.api.try(['get', 'node', name, '--ignore-not-found', '-o', path]);
    return stdout;
  }

  /** Routes to the pods of a node, on all others and on the host outside; and from it. */
  async #route(node: WholeNode): Promise<void> {
    const { host } = this.lab.front;
    const to = ({ machine }: WholeNode) =>
      podRanges(machine.number).map((range, i) => `route replace ${range} via ${machine.addresses('eth0')[i]}`);
    const others = this.nodes.filter((other) => other !== node && other.machine.isOn);
    for (const { machine } of others) await machine.inside.must(batch(to(node)));
    if (others.length > 0) await node.machine.inside.must(batch(others.flatMap(to)));
    await host.ip(...to(node).map((route, i) => `${route} src ${world.front.host[i % 2]}`));
  }

  /**
   * Writes a kustomization of our own, as install/README.md shows it: with our policy file, and components. Returns its folder,
   * for `kubectl apply -k`.
   */
  kustomization(policy: object, more: Manifests = {}): string {
    const folder = join(this.lab.folder, this.lab.unique('kustomization'));
    mkdirSync(folder);
    writeFileSync(join(folder, 'policy.yaml'), JSON.stringify(policy));
    const ours = (path: string) => relative(folder, join(more.checkout ?? root, 'install', path));
    const text = {
      ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources: [ours('kustomize')] },
      images: [{ name: 'localhost/cni-egress', newTag: more.tag ?? '0.1.0' }],
      configMapGenerator: [
        { name: 'cni-egress-policy', namespace: 'cni-egress', behavior: 'replace', files: ['policy.yaml'] },
      ],
      generatorOptions: { disableNameSuffixHash: true },
      components: (more.components ?? []).map(ours),
      patches: (more.patches ?? []).map((patch) => ({ patch: JSON.stringify(patch) })),
    };
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(text));
    return folder;
  }

  /** Installs egress with a policy file, and waits until it is ready on all nodes. */
  async install(policy: object, more: Manifests = {}): Promise<void> {
    await this.api.kubectl(['apply', '-k', this.kustomization(policy, more)]);
    await this.rolledOut();
  }

  /** Waits until the DaemonSet is as it should be, on all nodes. */
  async rolledOut(): Promise<void> {
    const { api } = this;
    await api.kubectl(['-n', 'cni-egress', 'rollout', 'status', 'daemonset', 'cni-egress', '--timeout=300s']);
  }

  /** Waits until egress is ready on a node. */
  async rolledOutOn(node: WholeNode): Promise<void> {
    await until(async () => (await this.ourPod(node)) !== '', 300);
    const pod = await this.ourPod(node);
    await this.api.kubectl(['-n', 'cni-egress', 'wait', pod, '--for=condition=Ready', '--timeout=300s']);
  }

  /** Starts to record every packet that leaves a node by an uplink, until it is switched off. */
  capture({ machine }: WholeNode): Promise<Capture> {
    const { front, back, folder } = this.lab;
    const hardware = {
      front: hardwareAddress(machine.addresses('eth0')),
      back: hardwareAddress(machine.addresses('eth1')),
    };
    return Capture.start(folder, [front, back], { name: machine.port, hardwareAddress: hardware });
  }

  /** The name of our pod on a node. */
  async ourPod({ name }: WholeNode): Promise<string> {
    const { api } = this;
    const chosen = ['-l', 'app.kubernetes.io/name=cni-egress', '--field-selector', `spec.nodeName=${name}`];
    return (
      (await api.kubectl(['-n', 'cni-egress', 'get', 'pods', ...chosen, '-o', 'name'])).trim().split('\n')[0] ?? ''
    );
  }

  /** What nodes that are on know of exits and of connections to the outside: for the message of a failed assertion. */
  async state(): Promise<string> {
    const told = this.nodes
      .filter(({ machine }) => machine.isOn)
      .map(async (node) => {
        // The API server may be away.
        const { stdout } = await node.machine.inside.run(['/opt/cni/bin/egress', 'status']);
        const connections = await node.machine.inside.run(['conntrack', '-L', '-p', 'tcp', '--dport', '8082']);
        return `# ${node.name}\n${stdout}${connections.stdout.split('\n').slice(0, 4).join('\n')}`;
      });
    return (await Promise.all(told)).join('\n');
  }

  /** Runs egress in the agent's container of a node, as a person does without a shell there. */
  async egress(node: WholeNode, ...words: readonly string[]) {
    return this.api.try(['-n', 'cni-egress', 'exec', await this.ourPod(node), '--', 'egress', ...words]);
  }
}

const batch = (commands: readonly string[]) => ['sh', '-c', 'printf "%s\\n" "$@" | ip -batch -', 'sh', ...commands];

/** The archive of the image of `npm run image`, made anew when the binary is newer. */
export function ourImage(options: Partial<ImageOptions> = {}): string {
  const { binary = egressBinary, version = '0.1.0', output = join(root, 'dist/image') } = options;
  const archive = `${output}.tar`;
  const isNew = existsSync(archive) && statSync(archive).mtimeMs > statSync(binary).mtimeMs;
  if (!isNew) writeImage({ binary, version, name: `localhost/cni-egress:${version}`, output });
  return archive;
}
