import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { accepted, type ClusterApi } from '../kubernetes/client.ts';
import { paths } from '../kubernetes/kinds.ts';
import { type KubernetesObject, Mirror } from '../kubernetes/mirror.ts';
import { isPod, type LabelledPod, labelledPodOf } from '../kubernetes/objects.ts';
import { pause } from '../loop/watch.ts';
import type { Pod } from '../policy/match.ts';
import { choosesByLabels } from '../policy/program.ts';
import type { Labels, PodLabels } from '../policy/selector.ts';
import type { LabelSource } from './label-answers.ts';

/** How long the first answers are waited for: an API server that is away must not keep the node waiting. */
const [firstAnswersMs, looksMs] = [3_000, 20];

/** What labels have around them. */
export interface LabelSurroundings {
  /** `undefined` outside of a cluster. */
  readonly api: ClusterApi | undefined;
  /** This node's name in Kubernetes. */
  readonly node: string | undefined;
  /** Takes an error that does not end the agent, with its consequence. */
  report(error: unknown, consequence: string): void;
  /** Labels are others than before: policies may choose other pods. */
  changed(): void;
}

interface Running {
  readonly pods: Mirror<LabelledPod>;
  readonly namespaces: Mirror<Labels>;
  readonly end: AbortController;
}

/**
 * The labels of this node's pods and of all namespaces, followed while some policy chooses by labels. The API server may be
 * away: what it said last counts for running pods, and new ones are not known.
 */
export class ClusterLabels implements LabelSource, Disposable {
  readonly #surroundings: LabelSurroundings;
  #running: Running | undefined;
  readonly #said = new Map<string, string>();

  constructor(surroundings: LabelSurroundings) {
    this.#surroundings = surroundings;
  }

  /**
   * Before a round: follows labels as the policies need them, and when that begins waits a while for the first answers. A round
   * without them would say of each pod that its labels are not known, and nothing is wrong.
   */
  async prepared(configuration: Pick<Configuration, 'policies'> | undefined): Promise<void> {
    const before = this.#running;
    this.follow(configuration);
    const running = this.#running;
    if (running === undefined || running === before) return;
    const isListed = () => running.pods.objects !== undefined && running.namespaces.objects !== undefined;
    for (let waited = 0; waited < firstAnswersMs && !isListed(); waited += looksMs)
      await pause(looksMs, running.end.signal);
  }

  /** Follows labels from now on, or no longer, as the policies need them. */
  follow(configuration: Pick<Configuration, 'policies'> | undefined): void {
    if (configuration === undefined) return; // the last good one stays in force
    if (!configuration.policies.some(choosesByLabels)) this[Symbol.dispose]();
    else this.#start();
  }

  labelsOf(pod: Pod): PodLabels | undefined {
    const { pods, namespaces } = this.#running ?? {};
    const known = pods?.objects?.get(`${pod.namespace}/${pod.name}`);
    const namespace = namespaces?.objects?.get(pod.namespace ?? '');
    if (known === undefined || namespace === undefined || !isPod(known, pod.uid)) return undefined;
    return { pod: known.labels, namespace };
  }

  async ask(pod: Pod): Promise<PodLabels> {
    const { api } = this.#surroundings;
    if (api === undefined) throw new Error('it runs without a Kubernetes API, which alone knows labels');
    const namespacePath = `${paths.namespaces}/${pod.namespace}`;
    const [own, around] = await Promise.all([
      this.#read(api, `${namespacePath}/pods/${pod.name}`),
      this.#read(api, namespacePath),
    ]);
    const found = labelledPodOf(own);
    if (!isPod(found, pod.uid)) throw new Error('the API server knows another pod of that name');
    return { pod: found.labels, namespace: around.metadata.labels ?? {} };
  }

  async #read(api: ClusterApi, path: string): Promise<KubernetesObject> {
    return accepted(await api.get(path), `read ${path}`) as KubernetesObject;
  }

  #start(): void {
    const { api, node, changed } = this.#surroundings;
    if (this.#running !== undefined || api === undefined) return;
    if (node === undefined) {
      const why = 'Policies choose by labels, and the name of this node is not known: give --node-name, or NODE_NAME';
      this.#once('node', new EgressError('invalid-argument', why));
      return;
    }
    const end = new AbortController();
    const mirror = <T>(path: string, keep: (object: KubernetesObject) => T, fields?: string) =>
      new Mirror<T>({
        ...{ api, path, keep, ...(fields !== undefined && { fields }) },
        changed: () => {
          this.#said.delete(path);
          changed();
        },
        failed: (error) => this.#once(path, error),
      });
    const pods = mirror(paths.pods, labelledPodOf, `spec.nodeName=${node}`);
    const namespaces = mirror(paths.namespaces, ({ metadata }) => metadata.labels ?? {});
    this.#running = { pods, namespaces, end };
    for (const each of [pods, namespaces]) void each.run(end.signal);
  }

  #once(about: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#said.get(about) === text) return;
    this.#said.set(about, text);
    this.#surroundings.report(
      error,
      'Labels that are known stay in force; pods that policies choose by others do not start.',
    );
  }

  [Symbol.dispose](): void {
    this.#running?.end.abort();
    this.#running = undefined;
  }
}
