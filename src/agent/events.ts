import { accepted, type ClusterApi } from '../kubernetes/client.ts';
import { eventName, eventOf, eventsPath, type Notice, seriesOf } from '../kubernetes/events.ts';

/** What Events have around them. */
export interface EventSurroundings {
  /** `undefined` outside of a cluster. */
  readonly api: ClusterApi | undefined;
  /** This node's name in Kubernetes. */
  readonly node: string | undefined;
  /** Takes an error that does not end the agent, with its consequence. */
  report(error: unknown, consequence: string): void;
  /** Milliseconds of a clock that does not go back. */
  now(): number;
}

/** An Event that is there, and how often it was told. */
interface Told {
  readonly path: string;
  count: number;
  /** When it was written last, and when it was told last, in milliseconds. */
  wroteAt: number;
  toldAt: number;
}

/** Events that are written at once, and milliseconds until there is room for one more: one node's part of what an API server bears. */
const [burst, refillMs] = [25, 10_000];

/** Milliseconds after which the same is a new Event (Kubernetes: client-go, tools/events: 6 minutes). */
const seriesMs = 360_000;

/** Milliseconds from one count of an Event to the next. */
const countMs = 60_000;

/** Milliseconds until it is tried again while the API server is away. */
const retryMs = 10_000;

/** Notices that are kept while the API server is away. */
const mostPending = 100;

/**
 * Writes Events, each cause once: the same again counts up the Event that is there, seldom. A storm of causes is cut: what is
 * beyond is not told. Nothing waits for it, and while the API server is away a few are kept.
 */
export class Events {
  readonly #surroundings: EventSurroundings;
  readonly #told = new Map<string, Told>();
  #pending: Notice[] = [];
  #tokens = burst;
  #refilled: number;
  #isWriting = false;
  #timer: NodeJS.Timeout | undefined;
  #said: string | undefined;

  constructor(surroundings: EventSurroundings) {
    this.#surroundings = surroundings;
    this.#refilled = surroundings.now();
  }

  /** Takes what is to be told; all of it is written later. */
  tell(notices: readonly Notice[]): void {
    const { api, node } = this.#surroundings;
    if (api === undefined || node === undefined || notices.length === 0) return;
    this.#pending = [...this.#pending, ...notices].slice(0, mostPending);
    void this.flush();
  }

  /** Writes what is to be written now; one at a time. */
  async flush(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    try {
      for (let [notice] = this.#pending; notice !== undefined; [notice] = this.#pending) {
        await this.#write(notice);
        this.#pending.shift();
      }
      this.#said = undefined;
    } catch (error) {
      this.#once(error);
      this.#later();
    } finally {
      this.#isWriting = false;
    }
  }

  async #write(notice: Notice): Promise<void> {
    const { api, node, now } = this.#surroundings;
    if (api === undefined || node === undefined) return;
    const key = keyOf(notice);
    const known = this.#told.get(key);
    if (known !== undefined && now() - known.toldAt < seriesMs) return await this.#count(api, known);
    if (!this.#mayWrite()) return;
    const reporter = { node, at: new Date().toISOString() };
    const path = eventsPath(notice.regarding);
    const reply = await api.create(path, eventOf(notice, reporter));
    // 409: an agent before this one has told it. 404: the namespace is gone, and with it who would read it.
    if (reply.status !== 409 && reply.status !== 404)
      accepted(reply, `write an Event about ${notice.regarding.kind} ${notice.regarding.name}`);
    this.#forgetOld();
    const times = { wroteAt: now(), toldAt: now() };
    this.#told.set(key, { path: `${path}/${eventName(notice, reporter)}`, count: 1, ...times });
  }

  async #count(api: ClusterApi, told: Told): Promise<void> {
    const { now } = this.#surroundings;
    told.count++;
    told.toldAt = now();
    if (now() - told.wroteAt < countMs || !this.#mayWrite()) return;
    const reply = await api.patch(told.path, seriesOf(told.count, new Date().toISOString()));
    if (reply.status !== 404) accepted(reply, 'count an Event');
    told.wroteAt = now();
  }

  #mayWrite(): boolean {
    const { now } = this.#surroundings;
    const more = Math.floor((now() - this.#refilled) / refillMs);
    this.#tokens = Math.min(burst, this.#tokens + more);
    this.#refilled += more * refillMs;
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }

  #forgetOld(): void {
    const { now } = this.#surroundings;
    for (const [key, { toldAt }] of this.#told) if (now() - toldAt >= seriesMs) this.#told.delete(key);
  }

  #later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, retryMs).unref();
  }

  #once(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#said === text) return;
    this.#said = text;
    this.#surroundings.report(error, 'Events are written when it is possible again.');
  }
}

const keyOf = ({ regarding: { kind, namespace, name, uid }, reason, note }: Notice): string =>
  JSON.stringify([kind, namespace, name, uid, reason, note]);
