import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Shown } from '../cluster-api.ts';
import { Namespace } from '../namespace.ts';
import { Pod } from '../pod.ts';
import { must, run } from '../run.ts';
import { image, pause } from '../runtime/image.ts';
import { until } from './kubelet.ts';
import type { WholeCluster, WholeNode } from './whole.ts';

/** What pods of tests run: something that is only there, in a container that has our programs and the node's own. */
export const podSpec = (more: object = {}): object => ({
  terminationGracePeriodSeconds: 1,
  containers: [
    {
      ...{ name: 'main', image, imagePullPolicy: 'Never', command: pause },
      volumeMounts: [
        { name: 'usr', mountPath: '/usr', readOnly: true },
        { name: 'programs', mountPath: '/programs', readOnly: true },
      ],
    },
  ],
  volumes: [
    { name: 'usr', hostPath: { path: '/usr' } },
    { name: 'programs', hostPath: { path: resolve(import.meta.dirname, '../programs') } },
  ],
  ...more,
});

/** Who and where a pod is. */
export interface Place {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A pod alone, on a node if one is named. */
export const podObject = ({ name, namespace = 'default', labels, annotations }: Place, node?: WholeNode): object => ({
  ...{ apiVersion: 'v1', kind: 'Pod' },
  metadata: { name, namespace, labels, annotations },
  spec: podSpec(on(node)),
});

const on = (node: WholeNode | undefined): object =>
  node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node.name } };

/** A pod on each node, with a label `name` and others. */
export const daemonSet = ({ name, namespace = 'default', labels }: Place): object => ({
  ...{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name, namespace } },
  spec: {
    selector: { matchLabels: { name } },
    template: { metadata: { labels: { name, ...labels } }, spec: podSpec() },
  },
});

/** As many pods as there should be, wherever or on a node, with a label `name`. */
export const deployment = ({ name, namespace = 'default' }: Place, replicas: number, node?: WholeNode): object => ({
  ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace } },
  spec: {
    replicas,
    selector: { matchLabels: { name } },
    template: { metadata: { labels: { name } }, spec: podSpec(on(node)) },
  },
});

/** Pods of a cluster that tests have something done in. */
export class WholePods {
  readonly #cluster: WholeCluster;

  constructor(cluster: WholeCluster) {
    this.#cluster = cluster;
  }

  /** All that run of a namespace, and have labels as kubectl takes them (`app=web`). */
  async all(namespace = 'default', labels = ''): Promise<readonly Shown[]> {
    const chosen = labels === '' ? [] : ['-l', labels];
    const { items } = JSON.parse(
      await this.#cluster.api.kubectl(['-n', namespace, 'get', 'pods', ...chosen, '-o', 'json']),
    );
    return items.filter(({ metadata }: Shown) => metadata.deletionTimestamp === undefined);
  }

  /** Waits until so many pods are ready. */
  async ready(count: number, namespace = 'default', labels = ''): Promise<readonly Shown[]> {
    let found: readonly Shown[] = [];
    await until(async () => {
      found = (await this.all(namespace, labels)).filter(isReady);
      return found.length === count;
    }, 300);
    return found;
  }

  /** With which address a pod is seen outside, asked by kubectl exec as a person does; `nothing` without an answer. */
  async seen({ metadata: { name, namespace } }: Shown, address: string, protocol = 'tcp'): Promise<string> {
    const command = ['/usr/bin/python3', '/programs/ask.py', protocol, address, '8080'];
    const { code, stdout } = await this.#cluster.api.try(['-n', namespace, 'exec', name, '--', ...command]);
    return code === 0 ? (stdout.split(' ')[0] ?? '') : 'nothing';
  }

  /**
   * The network of a pod, by a name of the lab: for what runs longer than a call of kubectl, and for what asks often. It stays until
   * {@link forget}, or the end of the lab.
   */
  async network(pod: Shown): Promise<Pod> {
    const { name, namespace, uid } = pod.metadata;
    const node = this.#cluster.nodes.find((each) => each.name === pod.spec.nodeName);
    if (node === undefined) throw new Error(`${name} is on no node`);
    const netns = `${this.#cluster.lab.prefix}${this.#cluster.lab.unique('pod')}`;
    await must(['ip', 'netns', 'attach', netns, String(processOf(node, uid))]);
    return new Pod(new Namespace(netns), name, namespace);
  }

  /** Ends what runs in it by our doing, and lets it go. */
  async forget({ network }: Pod): Promise<void> {
    await run(['sh', '-c', 'ip netns pids "$0" | xargs -r kill -9; ip netns delete "$0"', network.name]);
  }
}

const isReady = ({ status }: Shown): boolean =>
  (status?.conditions ?? []).some(({ type, status }: Shown) => type === 'Ready' && status === 'True');

/** A process of a pod, as this machine numbers it, by the control group that its kubelet made. */
function processOf({ machine }: WholeNode, uid: string): number {
  const base = join('/sys/fs/cgroup/pids', machine.cgroup);
  const pod = readdirSync(base, { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith(`/pod${uid}`));
  const groups = pod === undefined ? [] : readdirSync(join(base, pod), { withFileTypes: true });
  for (const group of groups.filter((each) => each.isDirectory())) {
    const [first] = readFileSync(join(base, pod ?? '', group.name, 'cgroup.procs'), 'utf8').split('\n');
    if (first) return Number(first);
  }
  throw new Error(`no process of pod ${uid} on ${machine.name}`);
}
