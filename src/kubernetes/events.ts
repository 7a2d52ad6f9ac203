import { fnv1a } from '../base/fnv1a.ts';
import { lineOf } from '../config/problem.ts';
import type { Pod } from '../policy/match.ts';
import { group, version } from './kinds.ts';
import type { ClusterNode, EgressObject, OthersObject } from './objects.ts';
import type { Condition, NodeWord, Summary } from './status.ts';
import type { Verdict } from './translate.ts';

/** What an Event is about (Kubernetes: core/v1, ObjectReference). */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
}

/** Something that owners of an object should know. */
export interface Notice {
  readonly regarding: Regarding;
  readonly type: 'Normal' | 'Warning';
  /** Why, in one word. */
  readonly reason: string;
  /** What was done or tried, in one word. */
  readonly action: string;
  readonly note: string;
  /** It happens once and is over, and may happen again: else it is the same as long as it lasts. */
  readonly isHappening?: true;
  /** Which time it is, as all nodes know it: they may say it in other words, and at another moment. */
  readonly occasion?: string;
}

/** Who reports, and when. */
export interface Reporter {
  /** This node's name in Kubernetes. */
  readonly node: string;
  /** RFC 3339. */
  readonly at: string;
}

/** How often something happened. */
export interface Series {
  readonly count: number;
  /** RFC 3339 with microseconds. */
  readonly lastObservedTime: string;
}

/** Bytes of a note that an API server takes (Kubernetes: pkg/apis/core/validation, events). */
const longestNote = 1024;

/** Characters of an object's name in the name of its Event: a name has 253 at most. */
const longestName = 230;

/** Where Events about an object are: those about one without a namespace are in `default`. */
export const eventsPath = ({ namespace = 'default' }: Regarding): string =>
  `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;

/**
 * One name for what is the same, so that an agent that starts anew does not tell it anew, nor two nodes that both think that it
 * is for them to tell. What happens again is another one after ten seconds.
 */
export function eventName(notice: Notice, { at }: Reporter): string {
  const { regarding, reason, note, isHappening, occasion } = notice;
  const what = occasion === undefined ? [note, isHappening ? at.slice(0, 18) : ''] : [occasion];
  const of = [regarding.kind, regarding.name, regarding.uid, reason, ...what].join('\n');
  const hash = [of, `${of}\n`].map((text) => fnv1a(text).toString(16).padStart(8, '0')).join('');
  return `${regarding.name.slice(0, longestName)}.${hash}`;
}

/** An Event (Kubernetes: events.k8s.io/v1). */
export const eventOf = (notice: Notice, reporter: Reporter): object => ({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  metadata: { name: eventName(notice, reporter), namespace: notice.regarding.namespace ?? 'default' },
  eventTime: micro(reporter.at),
  reportingController: `${group}/agent`,
  reportingInstance: reporter.node,
  ...{ regarding: notice.regarding, type: notice.type, reason: notice.reason, action: notice.action },
  note: shortened(notice.note),
});

/** What makes the Event that is there count further. */
export const seriesOf = (count: number, at: string): { readonly series: Series } => ({
  series: { count, lastObservedTime: micro(at) },
});

/** Kubernetes' MicroTime. */
const micro = (at: string): string => at.replace(/(\.\d{3})?Z$/, (_, part = '.000') => `${part}000Z`);

function shortened(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= longestNote) return note;
  return `${bytes
    .subarray(0, longestNote - 8)
    .toString()
    .replace(/\uFFFD$/, '')} …`;
}

/** An object of ours. */
export const regardingObject = (kind: string, object: EgressObject): Regarding =>
  regarding({ ...object, apiVersion: `${group}/${version}`, kind });

const regarding = ({ apiVersion, kind, name, namespace, uid }: Regarding): Regarding => ({
  ...{ apiVersion, kind, name },
  ...(namespace !== undefined && { namespace }),
  ...(uid !== undefined && { uid }),
});

/** The node itself: as the kubelet does, its name stands for its UID. */
export const regardingNode = (name: string): Regarding => ({ apiVersion: 'v1', kind: 'Node', name, uid: name });

/** A pod; `undefined` for one that no Kubernetes knows. */
export function regardingPod({ namespace, name, uid }: Pod): Regarding | undefined {
  if (namespace === undefined || name === undefined) return undefined;
  return { apiVersion: 'v1', kind: 'Pod', name, namespace, ...(uid !== undefined && { uid }) };
}

/** What a new status of an object of ours tells that its last one did not. */
export function noticesOf(
  regarding: Regarding,
  before: Partial<Summary>,
  after: Summary,
  words: readonly NodeWord[],
  nodes: readonly ClusterNode[],
): Notice[] {
  const moved = movedOf(regarding, before.holder, after.holder, words, nodes);
  return [
    ...(moved ? [moved] : []),
    ...after.conditions.flatMap((condition) => ofCondition(regarding, before.conditions ?? [], condition)),
  ];
}

function movedOf(
  regarding: Regarding,
  from: string | undefined,
  to: string | undefined,
  words: readonly NodeWord[],
  nodes: readonly ClusterNode[],
): Notice | undefined {
  if (from === undefined || to === undefined || from === to) return undefined;
  const why = whyMoved(from, to, words, nodes);
  const note = `The exit has moved from ${from} to ${to}${why === undefined ? '' : `: ${why}`}`;
  const since = words.find(({ name }) => name === to)?.since;
  return {
    ...{ regarding, type: 'Normal', reason: 'ExitMoved', action: 'Move', note, isHappening: true },
    ...(since !== undefined && { occasion: `${from} ${to} ${since}` }),
  };
}

function whyMoved(
  from: string,
  to: string,
  words: readonly NodeWord[],
  nodes: readonly ClusterNode[],
): string | undefined {
  const former = nodes.find(({ name }) => name === from);
  if (former === undefined) return `node ${from} is no more`;
  const of = (node: string) => words.find(({ name }) => name === node);
  const told = [
    { name: from, words: of(from)?.problem },
    { name: to, words: of(to)?.why },
  ].flatMap(({ name, words: say }) => (say === undefined ? [] : [`${name}: ${say}`]));
  const notReady = former.ready ? [] : [`node ${from} is not ready`];
  return [...notReady, ...told].join('; ') || undefined;
}

const actions: Readonly<Record<Condition['type'], string>> = { Accepted: 'Judge', Ready: 'Serve' };

function ofCondition(regarding: Regarding, before: readonly Condition[], now: Condition): Notice[] {
  const earlier = before.find(({ type }) => type === now.type);
  const isSame = earlier?.status === now.status && (now.status === 'True' || earlier.message === now.message);
  // What is refused is told with its reason, by the other condition.
  if (isSame || now.status === 'Unknown' || (now.type === 'Ready' && now.reason === 'Refused')) return [];
  const { reason, message: note } = now;
  const action = actions[now.type];
  if (now.status === 'False') return [{ regarding, type: 'Warning', reason, action, note }];
  return earlier?.status === 'False' ? [{ regarding, type: 'Normal', reason, action, note, isHappening: true }] : [];
}

/** What is to be told of an object that others have made: what cannot be, and what has no counterpart. */
export function noticesOfOthers(object: OthersObject, verdict: Verdict): Notice[] {
  const about = regarding(object);
  const { problems, notes = [], inForce } = verdict;
  const words = (each: (typeof problems)[number]) => lineOf({ ...each, source: '' });
  const then = inForce === 'dropped' ? ': until then, what new pods send by it is dropped' : '';
  return [
    ...problems.map(
      (each): Notice => ({
        regarding: about,
        type: 'Warning',
        reason: 'Refused',
        action: 'Judge',
        note: `${words(each)}${then}`,
      }),
    ),
    ...notes.map(
      (each): Notice => ({
        regarding: about,
        type: 'Warning',
        reason: 'NoCounterpart',
        action: 'Judge',
        note: words(each),
      }),
    ),
  ];
}
