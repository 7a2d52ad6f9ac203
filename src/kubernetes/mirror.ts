import { EgressError } from '../base/errors.ts';
import { pause } from '../loop/watch.ts';
import { accepted, type ClusterApi } from './client.ts';

/** An object of the API, as it came. */
export interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
}

/** What a mirror has around it. */
export interface MirrorSurroundings<T> {
  readonly api: ClusterApi;
  /** Path of the list. */
  readonly path: string;
  /** A field selector: only such objects are asked for. */
  readonly fields?: string;
  /** What is kept of an object: of thousands of nodes only little is needed. */
  keep(object: KubernetesObject): T | undefined;
  /**
   * Whether the list is defined, asked when the server has none: of a kind that is not defined there are no objects. Absent: it
   * has to be.
   */
  isDefined?(): Promise<boolean>;
  /** An object is other than before, is new, or is gone. Not called for what `keep` gives as equal text. Without both: any number. */
  changed(before?: T, after?: T): void;
  /** Takes why the list cannot be had, each time. */
  failed(error: unknown): void;
  /** Milliseconds to wait after so many failures in a row, 0 where the kind is not defined; see {@link pauseAfter} for the default. */
  pause?(failures: number): number;
}

/** Objects in one answer of a list. */
export const pageSize = 500;

/** Seconds that one watch lasts: half of it at least, at random, so that not all agents ask again at once. */
const watchSeconds = 600;

/** Milliseconds until it is looked again for a kind that is not defined. */
const undefinedPause = 15_000;

/** Milliseconds. */
const [firstPause, longestPause] = [500, 30_000];

/** Twice as long after each failure, less up to a half at random: a server that came back is not asked by all at once. */
const pauseAfter = (failures: number): number =>
  Math.min(firstPause * 2 ** (failures - 1), longestPause) * (1 - Math.random() / 2);

interface Event {
  readonly type?: string;
  readonly object?: KubernetesObject & { readonly code?: number; readonly message?: string };
}

/**
 * A list of the API and its changes (Kubernetes: "Efficient detection of changes"). What was had last stays while the server is
 * away, and when it says that there is no such list (404): it says so for a while when it starts, too.
 */
export class Mirror<T> {
  readonly #surroundings: MirrorSurroundings<T>;
  #objects: Map<string, T> | undefined;
  #version: string | undefined;

  constructor(surroundings: MirrorSurroundings<T>) {
    this.#surroundings = surroundings;
  }

  /** By their names, with `namespace/` before it where there is one; `undefined` until there was an answer. */
  get objects(): ReadonlyMap<string, T> | undefined {
    return this.#objects;
  }

  /** Follows the list until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { failed, pause: pauseFor = pauseAfter } = this.#surroundings;
    for (let failures = 0; !signal.aborted; ) {
      try {
        if (this.#version === undefined && !(await this.#list())) {
          failures = 0;
          await pause(this.#surroundings.pause?.(0) ?? undefinedPause, signal);
          continue;
        }
        failures = 0;
        await this.#watch(signal);
      } catch (error) {
        failures++;
        if (!signal.aborted) failed(error);
        await pause(pauseFor(failures), signal);
      }
    }
  }

  /** Whether there is such a list. */
  async #list(): Promise<boolean> {
    const { api, path, keep, isDefined } = this.#surroundings;
    const found = new Map<string, T>();
    let next = '';
    let version: string | undefined;
    do {
      const page = `${path}?limit=${pageSize}${this.#fields}${next && `&continue=${encodeURIComponent(next)}`}`;
      const reply = await api.get(page);
      if (reply.status === 404 && isDefined && !(await isDefined())) {
        this.#take(new Map());
        return false;
      }
      const { items = [], metadata } = accepted(reply, `read ${path}`) as {
        items?: readonly KubernetesObject[];
        metadata?: { continue?: string; resourceVersion?: string };
      };
      for (const object of items) {
        const kept = keep(object);
        if (kept !== undefined) found.set(keyOf(object), kept);
      }
      next = metadata?.continue ?? '';
      version = metadata?.resourceVersion;
    } while (next !== '');
    this.#version = version;
    this.#take(found);
    return true;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { api, path } = this.#surroundings;
    const seconds = Math.round(watchSeconds * (1 - Math.random() / 2));
    const query = `watch=1&allowWatchBookmarks=true&timeoutSeconds=${seconds}&resourceVersion=${this.#version ?? ''}`;
    const refusal = await api.follow(
      `${path}?${query}${this.#fields}`,
      (line) => this.#event(line as Event | undefined),
      signal,
    );
    if (refusal === undefined) return;
    this.#version = undefined; // 410: too old to go on from there
    if (refusal.status !== 410) accepted(refusal, `watch ${path}`);
  }

  get #fields(): string {
    const { fields } = this.#surroundings;
    return fields === undefined ? '' : `&fieldSelector=${encodeURIComponent(fields)}`;
  }

  #event(event: Event | undefined): void {
    const { type, object } = event ?? {};
    if (object === undefined) return;
    if (type === 'ERROR') {
      this.#version = undefined;
      if (object.code !== 410)
        this.#surroundings.failed(
          new EgressError('kubernetes-refused', `Could not watch ${this.#surroundings.path}: ${object.message}`),
        );
      return;
    }
    if (this.#version !== undefined) this.#version = object.metadata.resourceVersion;
    if (type === 'BOOKMARK') return;
    const name = keyOf(object);
    const [before, after] = [
      this.#objects?.get(name),
      type === 'DELETED' ? undefined : this.#surroundings.keep(object),
    ];
    if (after === undefined) this.#objects?.delete(name);
    else this.#objects?.set(name, after);
    if (JSON.stringify(before) !== JSON.stringify(after)) this.#surroundings.changed(before, after);
  }

  #take(objects: Map<string, T>): void {
    const before = this.#objects;
    this.#objects = objects;
    if (before === undefined || textOf(before) !== textOf(objects)) this.#surroundings.changed();
  }
}

const textOf = (objects: ReadonlyMap<string, unknown>): string => JSON.stringify([...objects].sort());

const keyOf = ({ metadata: { namespace, name } }: KubernetesObject): string =>
  namespace === undefined ? name : `${namespace}/${name}`;
