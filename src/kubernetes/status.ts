import { lineOf } from '../config/problem.ts';
import { group, type ObjectKind, version } from './kinds.ts';
import type { ClusterNode, EgressObject } from './objects.ts';
import type { Verdict } from './translate.ts';

/** What one node says of an object. */
export interface NodeWord {
  readonly name: string;
  readonly pods?: number;
  readonly holds?: boolean;
  readonly gateway?: string;
  readonly answers?: boolean;
  readonly problem?: string;
  /** Why it has the addresses of an exit, or has them no more. */
  readonly why?: string;
  /** Since when, RFC 3339. */
  readonly since?: string;
}

/** A condition of an object (Kubernetes: meta/v1). */
export interface Condition {
  readonly type: 'Accepted' | 'Ready';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

/** What is said of an object as a whole, by one agent for all. */
export interface Summary {
  readonly holder?: string;
  readonly gateways?: readonly string[];
  readonly answering?: string;
  readonly pods: number;
  readonly conditions: readonly Condition[];
}

/** The status of an object as the API has it. */
export interface ObjectStatus extends Partial<Summary> {
  readonly nodes?: readonly NodeWord[];
}

/** What a node knows of itself, for what it says of an object. */
export interface NodeFacts {
  /** Its name in Kubernetes. */
  readonly name: string;
  /** Its underlay address. */
  readonly address: string | undefined;
  /** Pods of this node by what they use: `exit …` or `policy …`. */
  readonly pods: ReadonlyMap<string, number>;
  /** Exits that it serves to others, or is ready to, and whether it has their addresses. */
  readonly serves: ReadonlyMap<string, boolean>;
  /** The gateways that its pods' exits use. */
  readonly uses: ReadonlyMap<string, { readonly gateway: string; readonly answers: boolean }>;
  /** Since when it has the addresses of exits or not, and why, as its elections say. */
  readonly elected: ReadonlyMap<string, { readonly since: string; readonly why?: string }>;
  /** What could not be done at the last round, in sentences. */
  readonly failures: readonly string[];
}

/** What a node says of an object; `undefined` when it has nothing to do with it. */
export function wordOf({ kind, name, gateways, policies }: Verdict, facts: NodeFacts): NodeWord | undefined {
  const keys = kind === 'EgressExit' ? [`exit ${name}`] : policies.map((policy) => `policy ${policy}`);
  const pods = keys.reduce((sum, key) => sum + (facts.pods.get(key) ?? 0), 0);
  if (kind !== 'EgressExit') return pods === 0 ? undefined : { name: facts.name, pods };
  const isGateway = facts.address !== undefined && gateways.includes(facts.address);
  if (!isGateway && pods === 0) return undefined;
  const uses = facts.uses.get(name);
  const elected = facts.elected.get(name);
  const problem = problemOf(name, isGateway, facts);
  return {
    name: facts.name,
    pods,
    ...(isGateway && { holds: facts.serves.get(name) ?? false }),
    ...(uses && { gateway: uses.gateway, answers: uses.answers }),
    ...(problem !== undefined && { problem }),
    ...(isGateway && elected),
  };
}

/** What keeps an exit from working on the node. */
function problemOf(exit: string, isGateway: boolean, { serves, failures }: NodeFacts): string | undefined {
  const about = failures.filter((failure) => failure.includes(`"${exit}"`));
  if (about.length > 0) return about.join('; ');
  return isGateway && !serves.has(exit) ? 'the exit is not served here' : undefined;
}

/** What is said of an object as a whole: of what its nodes say, as far as they are nodes of the cluster still. */
export function summaryOf(
  verdict: Verdict,
  object: EgressObject,
  words: readonly NodeWord[],
  nodes: readonly ClusterNode[],
  now: string,
): Summary {
  const there = new Set(nodes.map(({ name }) => name));
  const said = words.filter(({ name }) => there.has(name));
  const pods = said.reduce((sum, { pods = 0 }) => sum + pods, 0);
  const before = statusOf(object).conditions ?? [];
  const conditions = [acceptedOf(verdict), ...(verdict.kind === 'EgressExit' ? [readyOf(verdict, said)] : [])].map(
    (condition): Condition => {
      const earlier = before.find(({ type }) => type === condition.type);
      const since = earlier?.status === condition.status ? earlier.lastTransitionTime : now;
      return { ...condition, observedGeneration: object.generation, lastTransitionTime: since };
    },
  );
  if (verdict.kind !== 'EgressExit') return { pods, conditions };
  const holder = holderAmong(said);
  const ready = said.filter(({ holds, problem }) => holds !== undefined && problem === undefined);
  const answering = ready.filter(({ name }) => isHeard(name, said, nodes)).length;
  const { gateways } = verdict;
  return {
    ...(holder !== undefined && { holder }),
    ...(gateways.length > 0 && { gateways, answering: `${answering}/${gateways.length}` }),
    ...{ pods, conditions },
  };
}

/** The word of a node that is not ready may be from before: it counts only while another node says that this gateway answers. */
function isHeard(name: string, said: readonly NodeWord[], nodes: readonly ClusterNode[]): boolean {
  const node = nodes.find((each) => each.name === name);
  return node?.ready === true || said.some((one) => one.answers === true && one.gateway === node?.addresses[0]);
}

/** Of several the last one: who lost the addresses with its power says no more. */
const holderAmong = (said: readonly NodeWord[]): string | undefined =>
  said.filter(({ holds }) => holds).toSorted((a, b) => ((a.since ?? '') < (b.since ?? '') ? 1 : -1))[0]?.name;

type Said = Omit<Condition, 'observedGeneration' | 'lastTransitionTime'>;

const standsFor: Readonly<Record<Verdict['inForce'], string>> = {
  own: '',
  earlier: ' What it said before stays in force on nodes that know it.',
  dropped: ' Until it is mended, what new pods send by it is dropped; running pods keep what they have.',
  nothing: ' Nothing of it is in force.',
};

function acceptedOf({ problems, inForce }: Verdict): Said {
  if (problems.length === 0)
    return { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'It says what can be done.' };
  const told = problems.map((problem) => lineOf({ ...problem, source: '' })).join('; ');
  return {
    type: 'Accepted',
    status: 'False',
    reason: 'Refused',
    message: `${told.replace(/[^?]$/, '$&.')}${standsFor[inForce]}`,
  };
}

function readyOf({ gateways, inForce }: Verdict, said: readonly NodeWord[]): Said {
  const is = (status: Said['status'], reason: string, message: string): Said => ({
    type: 'Ready',
    status,
    reason,
    message,
  });
  if (inForce === 'nothing')
    return is('False', 'Refused', 'Nothing of it is in force: the condition Accepted says why.');
  const broken = said.flatMap(({ name, problem }) => (problem === undefined ? [] : [`node ${name}: ${problem}`]));
  const holder = said.find(({ holds }) => holds);
  const lost = said.filter(({ answers }) => answers === false).map(({ name }) => name);
  if (gateways.length > 0 && said.every(({ holds }) => holds === undefined))
    return is('Unknown', 'NoWord', 'No agent of a gateway has said anything yet.');
  if (gateways.length > 0 && holder === undefined)
    return is('False', 'NoHolder', ['No gateway has the addresses', ...broken].join('; '));
  if (lost.length > 0) return is('False', 'NoAnswer', `No gateway answers to ${lost.join(', ')}`);
  if (gateways.length === 0 && broken.length > 0) return is('False', 'Failing', broken.join('; '));
  return is('True', 'Ready', broken.length > 0 ? broken.join('; ') : 'It can be used.');
}

/** The status of an object, as the API gave it. */
export const statusOf = ({ status }: EgressObject): ObjectStatus => (status ?? {}) as ObjectStatus;

/** Milliseconds after which others write of an object that the first of its nodes leaves alone. */
export const grace = 30_000;

/**
 * Whether a node is the one that writes of an object for all: the first by name of the ready nodes that say something of it, or of
 * all ready ones when none does.
 */
export function writesFor(node: string, words: readonly NodeWord[], nodes: readonly ClusterNode[]): boolean {
  const ready = nodes.filter((each) => each.ready).map(({ name }) => name);
  const saying = ready.filter((name) => words.some((word) => word.name === name));
  const [first] = (saying.length > 0 ? saying : ready).toSorted();
  return first === node;
}

/** The object that a server-side apply of a part of a status takes. */
export const statusPatch = (kind: ObjectKind, { name, namespace }: EgressObject, status: object): object => ({
  apiVersion: `${group}/${version}`,
  kind,
  metadata: { name, ...(namespace !== undefined && { namespace }) },
  status,
});
