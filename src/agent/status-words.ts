import { isEqual } from '../base/canonical.ts';
import { accepted, type ClusterApi } from '../kubernetes/client.ts';
import { type Notice, noticesOf, regardingObject } from '../kubernetes/events.ts';
import { type ObjectKind, statusPath } from '../kubernetes/kinds.ts';
import type { ClusterObjects, EgressObject } from '../kubernetes/objects.ts';
import {
  grace,
  type NodeFacts,
  type NodeWord,
  type Summary,
  statusOf,
  statusPatch,
  summaryOf,
  wordOf,
  writesFor,
} from '../kubernetes/status.ts';
import type { Translation, Verdict } from '../kubernetes/translate.ts';
import type { AttachmentRecord, ExitGateways } from '../store/record.ts';
import type { Store } from '../store/store.ts';
import type { Seen } from './agent.ts';

/** The API of the cluster, and this node's name there. */
export interface ClusterAccess {
  readonly api: ClusterApi | undefined;
  readonly node: string | undefined;
}

interface StatusSurroundings extends ClusterAccess {
  /** Takes what the status of an object tells that it did not before. */
  tell(notices: readonly Notice[]): void;
  /** Takes an error that does not end the agent, with its consequence. */
  report(error: unknown, consequence: string): void;
}

type Known = { readonly translation: Translation; readonly objects: ClusterObjects };

/** Milliseconds from one write of an object to this agent's next: all nodes together write ten times in a second at most. */
const restOf = (nodes: number): number => Math.max(2_000, nodes * 100);

/** Milliseconds until what came is looked at: one change seldom comes alone. */
const delay = 500;

/**
 * What this agent writes into the status of objects: its own word of each that concerns it, which nobody else touches, and for
 * those that it is the first node of, what all of them come to.
 */
export class StatusWords {
  readonly #surroundings: StatusSurroundings;
  #facts: NodeFacts | undefined;
  #known: Known | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When it rings, in milliseconds. */
  #due = 0;
  #isWriting = false;
  readonly #wrote = new Map<string, number>();
  readonly #left = new Map<string, number>();
  #said: string | undefined;

  constructor(surroundings: StatusSurroundings) {
    this.#surroundings = surroundings;
  }

  /** A round has ended. */
  ended(known: Known | undefined, seen: Seen, store: Store, gateways: readonly ExitGateways[]): void {
    const { node } = this.#surroundings;
    if (known === undefined || node === undefined) return;
    this.#facts = factsOf(node, known.objects, seen, store, gateways);
    this.seen(known);
  }

  /** What the API has is other than before. */
  seen(known: Known | undefined): void {
    this.#known = known;
    this.#after(delay);
  }

  /** The earliest of what is wanted counts: who waits for others does not keep its own word back. */
  #after(milliseconds: number): void {
    const due = performance.now() + milliseconds;
    if (this.#timer !== undefined && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#write();
    }, milliseconds).unref();
  }

  async #write(): Promise<void> {
    const [known, facts] = [this.#known, this.#facts];
    if (known === undefined || facts === undefined) return;
    if (this.#isWriting) {
      this.#after(delay);
      return;
    }
    this.#isWriting = true;
    try {
      for (const verdict of known.translation.verdicts) await this.#writeOf(verdict, facts, known);
      this.#said = undefined;
    } catch (error) {
      this.#once(error);
      this.#after(restOf(known.objects.nodes.length) * 5);
    } finally {
      this.#isWriting = false;
    }
  }

  async #writeOf(verdict: Verdict, facts: NodeFacts, { objects }: Known): Promise<void> {
    const { name } = verdict;
    const { kind, object } = ownObject(verdict, objects) ?? {};
    if (object === undefined || kind === undefined) return;
    const { nodes = [], ...summary } = statusOf(object);
    const [own, word] = [nodes.find((each) => each.name === facts.name), wordOf(verdict, facts)];
    const words = [...nodes.filter((each) => each !== own), ...(word ? [word] : [])];
    const whole = summaryOf(verdict, object, words, objects.nodes, new Date().toISOString());
    const isOwnOther = !isEqual(own, word);
    const isDifferent = !isEqual(withoutTimes(whole), withoutTimes(summary));
    if (!isDifferent) this.#left.delete(keyOf(object));
    const isWholeOther = isDifferent && this.#isMine(object, words, objects, facts, isOutdated(summary, whole));
    if (!isOwnOther && !isWholeOther) return;
    if (!this.#mayWrite(`${kind}/${name}`, objects.nodes.length)) {
      this.#after(delay);
      return;
    }
    if (isOwnOther) await this.#apply(kind, object, { nodes: word ? [word] : [] }, `egress-agent.${facts.name}`);
    if (!isWholeOther) return;
    await this.#apply(kind, object, whole, 'egress-agent');
    this.#surroundings.tell(noticesOf(regardingObject(kind, object), summary, whole, words, objects.nodes));
  }

  /** Whether this node writes of an object for all: as its first node, or since the first one has left it alone for a while. */
  #isMine(
    object: EgressObject,
    words: readonly NodeWord[],
    { nodes }: ClusterObjects,
    facts: NodeFacts,
    isOutdated: boolean,
  ): boolean {
    if (writesFor(facts.name, words, nodes)) return true;
    const judged = statusOf(object).conditions?.[0]?.observedGeneration;
    const key = keyOf(object);
    if (judged === object.generation && !isOutdated) {
      this.#left.delete(key);
      return false;
    }
    const since = this.#left.get(key) ?? performance.now();
    this.#left.set(key, since);
    if (performance.now() - since > grace) return true;
    this.#after(grace);
    return false;
  }

  #mayWrite(object: string, nodes: number): boolean {
    const last = this.#wrote.get(object) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - last < restOf(nodes)) return false;
    this.#wrote.set(object, performance.now());
    return true;
  }

  async #apply(kind: ObjectKind, object: EgressObject, status: object, manager: string): Promise<void> {
    const { api } = this.#surroundings;
    const { name, namespace } = object;
    const path = statusPath(kind, name, namespace);
    const reply = await api?.apply(path, statusPatch(kind, object, status), encodeURIComponent(manager));
    if (reply !== undefined && reply.status !== 404) accepted(reply, `write the status of ${kind} ${name}`);
  }

  #once(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#said === text) return;
    this.#said = text;
    this.#surroundings.report(error, 'The status of objects is not what it should be until then.');
  }
}

const keyOf = ({ namespace = '', name, uid = '', generation }: EgressObject): string =>
  `${namespace}/${name} ${uid} ${generation}`;

/** Whether a summary does not fit what nodes say: in what all compute the same of it, whatever they know of an object besides. */
const isOutdated = (before: Partial<Summary>, now: Summary): boolean =>
  before.holder !== now.holder || before.pods !== now.pods;

/** The object of ours that a verdict is about; `undefined` for those of others, whose status is not ours. */
export function ownObject(
  { kind, name }: Pick<Verdict, 'kind' | 'name'>,
  { exits, policies, tenants = [] }: ClusterObjects,
): { readonly kind: ObjectKind; readonly object: EgressObject | undefined } | undefined {
  if (kind === 'EgressExit') return { kind, object: exits.find((each) => each.name === name) };
  if (kind === 'EgressPolicy') return { kind, object: policies.find((each) => each.name === name) };
  if (kind !== 'NamespacedEgressPolicy') return undefined;
  return { kind, object: tenants.find((each) => `${each.namespace}/${each.name}` === name) };
}

/** When a condition changed is no change of it. */
const withoutTimes = ({ conditions = [], ...summary }: Partial<Summary>): object => ({
  ...summary,
  conditions: conditions.map(({ lastTransitionTime: _, ...condition }) => condition),
});

function factsOf(
  name: string,
  { nodes }: ClusterObjects,
  { round }: Seen,
  store: Store,
  gateways: readonly ExitGateways[],
): NodeFacts {
  const [node, elections] = [store.loadNode(), store.agent.loadElections()];
  const served = (node?.exits ?? []).filter(({ id }) => node?.gateway?.served.includes(id));
  return {
    name,
    address: nodes.find((each) => each.name === name)?.addresses[0],
    pods: podsOf(store.list()),
    serves: new Map([
      ...served.map((exit) => [exit.name, true] as const),
      ...Object.entries(elections).map(([exit, { holds }]) => [exit, holds] as const),
    ]),
    elected: new Map(
      Object.entries(elections).map(([exit, { since, why }]) => [exit, { since, ...(why !== undefined && { why }) }]),
    ),
    uses: new Map(gateways.map(({ exit, gateway, answers }) => [exit, { gateway, answers }])),
    failures: round.failures,
  };
}

/** Pods by the exits and policies that they have. */
function podsOf(records: readonly AttachmentRecord[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { outline } of records) {
    const used = outline.flatMap(({ exit, policy }) => [`exit ${exit}`, `policy ${policy}`]);
    for (const key of new Set(used)) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
