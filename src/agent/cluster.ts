import { isEqual } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import { type KeptObjects, keptText, type OthersKinds, parseKept } from '../config/kept.ts';
import type { ReadFile } from '../config/read.ts';
import type { ClusterApi } from '../kubernetes/client.ts';
import { definitions, paths, type Resource } from '../kubernetes/kinds.ts';
import { type KubernetesObject, Mirror } from '../kubernetes/mirror.ts';
import {
  type ClusterNode,
  type ClusterObjects,
  ciliumObjectOf,
  type EgressObject,
  egressObjectOf,
  kubeVipServiceOf,
  nodeOf,
  type OthersObject,
} from '../kubernetes/objects.ts';
import { type Translation, translate } from '../kubernetes/translate.ts';
import type { Log } from '../node/machine.ts';
import type { Store } from '../store/store.ts';
import type { Configured, OwnSources } from './configured.ts';

/** What an agent has around it of a cluster. */
export interface ClusterSurroundings {
  /** `undefined` outside of a cluster. */
  readonly api: ClusterApi | undefined;
  readonly readFile: ReadFile;
  readonly log: Log;
  /** Takes an error that does not end the agent, with its consequence. */
  report(error: unknown, consequence: string): void;
  /** Something came that makes another configuration. */
  changed(): void;
  /** Something came that only the status of objects depends on. */
  seen(): void;
}

/** The mirrors of a cluster, while they run. */
interface Running {
  readonly nodes: Mirror<ClusterNode>;
  readonly exits: Mirror<EgressObject>;
  readonly policies: Mirror<EgressObject>;
  readonly tenants: Mirror<EgressObject>;
  /** Of the kinds of others that the configuration names. */
  readonly others: readonly Mirror<OthersObject>[];
  readonly kinds: OthersKinds;
  readonly end: AbortController;
}

/**
 * The objects of the cluster, for an agent whose configuration says `kubernetes`: followed, and kept as one policy document in the
 * data folder, where ADD and all others read them. The API server may be away: what was kept stays.
 */
export class Cluster implements Disposable {
  readonly #surroundings: ClusterSurroundings;
  #running: Running | undefined;
  #isOther = true;
  #sources: OwnSources['sources'] | undefined;
  #before: KeptObjects | undefined;
  #translation: Translation | undefined;
  readonly #said = new Map<string, string>();

  constructor(surroundings: ClusterSurroundings) {
    this.#surroundings = surroundings;
  }

  /** What was made of the objects last, and the objects; `undefined` before there were all of them. */
  get known(): { readonly translation: Translation; readonly objects: ClusterObjects } | undefined {
    const [objects, translation] = [this.#objects(), this.#translation];
    return objects && translation && { objects, translation };
  }

  /** Before a round: keeps what the objects come to now, if they are wanted. */
  prepare(store: Store, configured: Pick<Configured, 'sources'>): void {
    const own = this.#ownSources(configured);
    if (own === undefined) return; // what was kept stays, as the last good configuration does
    if (!own.wantsObjects) this.#stop(store);
    else if (this.#start(own.othersKinds)) this.#keep(store, own);
  }

  #keep(store: Store, own: OwnSources): void {
    const objects = this.#objects();
    if (objects === undefined || (!this.#isOther && isEqual(own.sources, this.#sources))) return;
    this.#isOther = false;
    this.#sources = own.sources;
    this.#before ??= parseKept(store.agent.loadObjects() ?? '');
    this.#translation = translate(objects, own.sources, this.#before);
    this.#tell(this.#translation);
    this.#before = this.#translation.kept;
    store.agent.saveObjects(keptText(this.#before));
  }

  #ownSources(configured: Pick<Configured, 'sources'>): OwnSources | undefined {
    try {
      return configured.sources();
    } catch {
      return undefined; // the round says it
    }
  }

  #stop(store: Store): void {
    this[Symbol.dispose]();
    store.agent.saveObjects(undefined);
    this.#before = undefined;
    this.#translation = undefined;
  }

  [Symbol.dispose](): void {
    this.#running?.end.abort();
    this.#running = undefined;
  }

  /** Whether the objects are followed. */
  #start(kinds: OthersKinds): boolean {
    const { api } = this.#surroundings;
    if (this.#running !== undefined && isEqual(kinds, this.#running.kinds)) return true;
    this[Symbol.dispose]();
    if (api === undefined) {
      const why = 'The configuration says "kubernetes", but there is no service account, and no --kubeconfig';
      this.#once('api', new EgressError('invalid-argument', why));
      return false;
    }
    const end = new AbortController();
    const nodes = this.#mirror(api, 'nodes', nodeOf, withoutReady);
    const [exits, policies, tenants] = (['egressexits', 'egresspolicies', 'namespacedegresspolicies'] as const).map(
      (resource) => this.#mirror(api, resource, egressObjectOf, withoutStatus),
    ) as [Mirror<EgressObject>, Mirror<EgressObject>, Mirror<EgressObject>];
    const others = this.#othersMirrors(api, kinds);
    this.#running = { ...{ nodes, exits, policies, tenants, others, kinds, end } };
    for (const mirror of [nodes, exits, policies, tenants, ...others]) void mirror.run(end.signal);
    return true;
  }

  #othersMirrors(api: ClusterApi, { cilium, kubeVip }: OthersKinds): Mirror<OthersObject>[] {
    const mirror = (resource: Resource, keep: (object: KubernetesObject) => OthersObject | undefined) =>
      this.#mirror(api, resource, keep, (kept) => kept);
    const gateways = ciliumObjectOf('cilium.io/v2', 'CiliumEgressGatewayPolicy');
    const nat = ciliumObjectOf('cilium.io/v2alpha1', 'CiliumEgressNATPolicy');
    return [
      ...(cilium ? [mirror('ciliumegressgatewaypolicies', gateways), mirror('ciliumegressnatpolicies', nat)] : []),
      ...(kubeVip ? [mirror('services', kubeVipServiceOf)] : []),
    ];
  }

  #mirror<T>(
    api: ClusterApi,
    resource: Resource,
    keep: (object: KubernetesObject) => T | undefined,
    essence: (kept: T) => unknown,
  ): Mirror<T> {
    const { changed, seen } = this.#surroundings;
    const [path, definition] = [paths[resource], definitions[resource]];
    return new Mirror<T>({
      ...{ api, path, keep },
      ...(definition !== undefined && { isDefined: async () => (await api.get(definition)).status !== 404 }),
      changed: (before, after) => {
        this.#said.delete(path);
        const isSame = before !== undefined && after !== undefined && isEqual(essence(before), essence(after));
        if (!isSame) this.#isOther = true;
        if (isSame) seen();
        else changed();
      },
      failed: (error) => this.#once(path, error),
    });
  }

  #objects(): ClusterObjects | undefined {
    if (this.#running === undefined) return undefined;
    const { nodes, exits, policies, tenants, others } = this.#running;
    if ([nodes, exits, policies, tenants, ...others].some(({ objects }) => objects === undefined)) return undefined;
    return {
      nodes: valuesOf(nodes),
      exits: valuesOf(exits),
      policies: valuesOf(policies),
      tenants: valuesOf(tenants),
      others: others.flatMap(valuesOf),
    };
  }

  /** What was refused goes to the log, too, each once. */
  #tell({ verdicts }: Translation): void {
    for (const { kind, name, problems, inForce } of verdicts) {
      const object = `${kind} ${name}`;
      const text = problems.map(({ pointer, message }) => `#${pointer}: ${message}`).join('; ');
      if (text !== '' && this.#said.get(object) !== text)
        this.#surroundings.log.warn({ object, problems: text, inForce }, 'an object of the cluster is refused');
      if (text === '') this.#said.delete(object);
      else this.#said.set(object, text);
    }
  }

  #once(about: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#said.get(about) === text) return;
    this.#said.set(about, text);
    this.#surroundings.report(error, 'What was kept of the cluster’s objects stays in force.');
  }
}

const valuesOf = <T>({ objects }: Mirror<T>): T[] => [...(objects?.values() ?? [])];

const withoutReady = ({ ready: _, ...node }: ClusterNode): object => node;
const withoutStatus = ({ status: _, generation: __, ...object }: EgressObject): object => object;
