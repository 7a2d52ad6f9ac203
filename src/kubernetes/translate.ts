import { parsePrefix } from '../base/address.ts';
import { contradictions } from '../config/checks.ts';
import { toSelector } from '../config/configuration.ts';
import type { KeptObjects } from '../config/kept.ts';
import type { Source } from '../config/placed.ts';
import { judge, type Problem } from '../config/problem.ts';
import { type PolicyDocument, policyDocumentSchema } from '../config/schema.ts';
import { type LabelSelector, labelSelector } from '../config/selector-schema.ts';
import { soundParts } from '../config/sound.ts';
import { builtInExits } from '../policy/match.ts';
import { fitsSelector } from '../policy/selector.ts';
import type { ClusterNode, ClusterObjects, EgressObject } from './objects.ts';

type Exit = NonNullable<PolicyDocument['exits']>[number];
type Policy = NonNullable<PolicyDocument['policies']>[number];

export type ObjectKind = 'EgressExit' | 'EgressPolicy';

/** What is in force of an object on this node. */
export type InForce =
  /** What it says. */
  | 'own'
  /** What it said when it was right last. */
  | 'earlier'
  /** Of a policy: what it is for is dropped. */
  | 'dropped'
  | 'nothing';

/** What became of an object. */
export interface Verdict {
  readonly kind: ObjectKind;
  readonly name: string;
  /** What is wrong, with pointers into the object; none: it is accepted. */
  readonly problems: readonly Problem[];
  readonly inForce: InForce;
  /** The gateways of an exit, by their underlay addresses. */
  readonly gateways: readonly string[];
}

/** What objects come to. */
export interface Translation {
  readonly kept: KeptObjects;
  readonly verdicts: readonly Verdict[];
}

/** An object on its way into the document: what may stand for it, the best first. */
interface Candidate {
  readonly kind: ObjectKind;
  readonly name: string;
  readonly problems: Problem[];
  readonly forms: { readonly inForce: InForce; readonly document: PolicyDocument }[];
}

/**
 * One policy document from all objects of a cluster, and what is wrong with each. Every document that comes out has no
 * contradiction with the other sources, whatever is in the objects: one that is wrong changes nothing but itself. For it stands
 * what it said when it was right last, if this node knows that; else a policy drops what it is for, if so much is understood,
 * and nothing stands for an exit.
 *
 * @param others the chain entries and the policy file: theirs are the names that both have
 * @param before what was kept until now
 */
export function translate(
  objects: ClusterObjects,
  others: readonly Source[],
  before: KeptObjects | undefined,
): Translation {
  const nodes = nodesDocument(objects.nodes, others);
  const exits = byAge(objects.exits).map((object) => exitCandidate(object, objects.nodes, before));
  const policies = byAge(objects.policies).map((object) => policyCandidate(object, before));
  const gone = goneExits(exits, policies, others, before);
  const candidates = [...exits, ...gone, ...policies];
  const known = [...builtInExits, ...namesOf(others), ...exits.map(({ name }) => name)];
  settle(candidates, [...others, { name: nodesSource, document: nodes }]);
  blameGone(policies, gone, known);
  const seen = candidates.filter((candidate) => !gone.includes(candidate));
  return { kept: keptOf(nodes, candidates), verdicts: seen.map(verdictOf) };
}

/** Older ones first: theirs is what two of them want. */
const byAge = (objects: readonly EgressObject[]): EgressObject[] =>
  objects.toSorted((a, b) => compare(a.created, b.created) || compare(a.name, b.name));

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const nodesSource = 'nodes of the cluster';

/** The nodes of the cluster that no other source has, and what else is the cluster's own. */
function nodesDocument(nodes: readonly ClusterNode[], others: readonly Source[]): PolicyDocument {
  const known = new Set(others.flatMap(({ document }) => (document.nodes ?? []).map(({ address }) => address)));
  const found = nodes
    .toSorted((a, b) => compare(a.name, b.name))
    .filter(({ addresses: [address] }) => address && !known.has(address));
  const further = found.flatMap(({ addresses }) => addresses.slice(1));
  return {
    nodes: found.flatMap(({ addresses: [address], podCIDRs }) =>
      address === undefined ? [] : [{ address, podCIDRs: podCIDRs.flatMap((range) => parsePrefix(range) ?? []) }],
    ),
    ...(further.length > 0 && { clusterCIDRs: further.flatMap((address) => parsePrefix(address) ?? []) }),
  };
}

const namesOf = (sources: readonly Source[]): string[] =>
  sources.flatMap(({ document }) => (document.exits ?? []).flatMap(({ name }) => name ?? []));

function exitCandidate({ name, spec }: EgressObject, nodes: readonly ClusterNode[], before?: KeptObjects): Candidate {
  const kind = 'EgressExit';
  const source = `${kind}/${name}`;
  const { gatewaySelector, ...own } = membersOf(spec);
  const problems: Problem[] = [];
  const gateways = gatewaySelector === undefined ? undefined : selected(gatewaySelector, nodes, source, problems);
  const chosen = gateways?.length ? { gateways } : {};
  // Without its gateways it would be another kind of exit: what else is wrong is looked for with some that are none.
  const whole = { name, ...own, ...(gatewaySelector === undefined ? {} : { gateways: ['192.0.2.1'], ...chosen }) };
  const judged = judge(policyDocumentSchema, { exits: [whole] }, source);
  if ('problems' in judged) problems.push(...judged.problems.map(inSpec));
  const earlier = before?.document.exits?.find((exit) => exit.name === name);
  return {
    ...{ kind, name, problems },
    forms: [
      ...('value' in judged && problems.length === 0 ? [{ inForce: 'own' as const, document: judged.value }] : []),
      ...(earlier ? [{ inForce: 'earlier' as const, document: { exits: [earlier] } }] : []),
    ],
  };
}

/** The first addresses of the nodes that a selector fits, in the order of their names. */
function selected(selector: unknown, nodes: readonly ClusterNode[], source: string, problems: Problem[]): string[] {
  const judged = judge(labelSelector, selector, source);
  if ('problems' in judged) {
    problems.push(...judged.problems.map((each) => ({ ...each, pointer: `/spec/gatewaySelector${each.pointer}` })));
    return [];
  }
  const found = nodesThatFit(judged.value, nodes);
  if (found.length === 0)
    problems.push({ source, pointer: '/spec/gatewaySelector', message: 'no node with an InternalIP has these labels' });
  return found;
}

const nodesThatFit = (selector: LabelSelector, nodes: readonly ClusterNode[]): string[] =>
  nodes
    .filter(({ labels }) => fitsSelector(toSelector(selector), labels))
    .toSorted((a, b) => compare(a.name, b.name))
    .flatMap(({ addresses: [first] }) => first ?? []);

function policyCandidate({ name, spec }: EgressObject, before?: KeptObjects): Candidate {
  const kind = 'EgressPolicy';
  const document = { policies: [{ name, ...membersOf(spec) }] };
  const judged = judge(policyDocumentSchema, document, `${kind}/${name}`);
  const isKnown = before?.refused.includes(name) === false;
  const earlier = isKnown ? before?.document.policies?.find((policy) => policy.name === name) : undefined;
  const dropped = droppedOf(document);
  return {
    ...{ kind, name },
    problems: 'problems' in judged ? judged.problems.map(inSpec) : [],
    forms: [
      ...('value' in judged ? [{ inForce: 'own' as const, document: judged.value }] : []),
      ...(earlier ? [{ inForce: 'earlier' as const, document: { policies: [earlier] } }] : []),
      ...(dropped ? [{ inForce: 'dropped' as const, document: { policies: [dropped] } }] : []),
    ],
  };
}

/** The policy with the exit `drop`, when everything is understood that says what it is for. */
function droppedOf(document: { readonly policies: readonly object[] }): Policy | undefined {
  const { document: sound, lacking } = soundParts(document);
  const [policy] = sound.policies ?? [];
  const isClear = lacking.every((pointer) => /^\/policies\/0\/(exit|priority|onChange)$/.test(pointer));
  if (!isClear || policy?.name === undefined) return undefined;
  const judged = judge(policyDocumentSchema, { policies: [{ ...policy, exit: 'drop' }] }, '');
  return 'value' in judged ? judged.value.policies?.[0] : undefined;
}

const membersOf = (spec: unknown): Readonly<Record<string, unknown>> =>
  typeof spec === 'object' && spec !== null ? { ...spec } : {};

/** Exits that are gone, and that policies still name: they stay where they were kept. */
function goneExits(
  exits: readonly Candidate[],
  policies: readonly Candidate[],
  others: readonly Source[],
  before: KeptObjects | undefined,
): Candidate[] {
  const there = new Set([...exits.map(({ name }) => name), ...namesOf(others)]);
  const named = new Set(
    policies.flatMap(({ forms }) => forms.flatMap(({ document }) => document.policies ?? [])).map(({ exit }) => exit),
  );
  return (before?.document.exits ?? [])
    .filter(({ name }) => named.has(name) && !there.has(name))
    .map((exit) => ({
      kind: 'EgressExit' as const,
      name: exit.name,
      problems: [],
      forms: [{ inForce: 'earlier' as const, document: { exits: [exit] } }],
    }));
}

/** A policy whose exit is gone is told of, though it goes on where the exit is known. */
function blameGone(policies: readonly Candidate[], gone: readonly Candidate[], known: readonly string[]): void {
  const names = new Set(gone.map(({ name }) => name));
  for (const { name, problems, forms } of policies) {
    const exit = forms[0]?.document.policies?.[0]?.exit;
    if (problems.length > 0 || exit === undefined || !names.has(exit)) continue;
    const document = { policies: [{ name, namespaces: ['*'], exit }], exits: known.flatMap(asExit) };
    problems.push(...contradictions([{ name: `EgressPolicy/${name}`, document }]).map(inSpec));
  }
}

const asExit = (name: string): Pick<Exit, 'name'>[] => (builtInExits.some((one) => one === name) ? [] : [{ name }]);

/** Takes the next form of each object that contradicts something, until nothing does. */
function settle(candidates: readonly Candidate[], others: readonly Source[]): void {
  for (;;) {
    const sources = candidates.map(
      ({ kind, name, forms }): Source => ({
        name: `${kind}/${name}`,
        document: forms[0]?.document ?? {},
      }),
    );
    const found = Map.groupBy(contradictions([...others, ...sources]), ({ source }) => source);
    const blamed = candidates.filter(({ kind, name }) => found.has(`${kind}/${name}`));
    if (blamed.length === 0) return;
    for (const candidate of firstOfKinds(blamed)) {
      const { problems, forms } = candidate;
      if (problems.length === 0) problems.push(...(found.get(`${candidate.kind}/${candidate.name}`) ?? []).map(inSpec));
      forms.shift();
    }
  }
}

/** Exits before policies: a policy may be right as soon as another form of its exit is taken. */
function firstOfKinds(blamed: readonly Candidate[]): readonly Candidate[] {
  const exits = blamed.filter(({ kind }) => kind === 'EgressExit');
  return exits.length > 0 ? exits : blamed;
}

/** A problem with its place in the object, also where it names the place of another one. */
const inSpec = ({ source, pointer, message }: Problem): Problem => ({
  source,
  pointer: pointer.replace(/^\/(exits|policies)\/0/, '/spec'),
  message: message.replaceAll(/(Egress(?:Exit|Policy)\/[^\s#]+)#\/(?:exits|policies)\/0/g, '$1#/spec'),
});

function keptOf(nodes: PolicyDocument, candidates: readonly Candidate[]): KeptObjects {
  const forms = candidates.flatMap(({ name, forms: [form] }) => (form ? [{ name, ...form }] : []));
  return {
    document: {
      ...nodes,
      exits: forms.flatMap(({ document }) => document.exits ?? []),
      policies: forms.flatMap(({ document }) => document.policies ?? []),
    },
    refused: forms.flatMap(({ name, inForce }) => (inForce === 'dropped' ? [name] : [])),
  };
}

const verdictOf = ({ kind, name, problems, forms: [form] }: Candidate): Verdict => ({
  ...{ kind, name, problems },
  inForce: form?.inForce ?? 'nothing',
  gateways: form?.document.exits?.[0]?.gateways ?? [],
});
