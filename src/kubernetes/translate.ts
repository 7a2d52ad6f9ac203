import { parsePrefix } from '../base/address.ts';
import { contradictions } from '../config/checks.ts';
import { toSelector } from '../config/configuration.ts';
import { judge } from '../config/judge.ts';
import type { KeptObjects } from '../config/kept.ts';
import type { Source } from '../config/placed.ts';
import type { Problem } from '../config/problem.ts';
import { type PolicyDocument, policyDocumentSchema } from '../config/schema.ts';
import { type LabelSelector, labelSelector } from '../config/selector-schema.ts';
import { builtInExits } from '../policy/match.ts';
import { fitsSelector } from '../policy/selector.ts';
import {
  byAge,
  byName,
  type Candidate,
  calledOf,
  droppedOf,
  type InForce,
  inSpec,
  membersOf,
  settle,
} from './candidate.ts';
import type { ClusterNode, ClusterObjects, EgressObject } from './objects.ts';
import { othersCandidates } from './others.ts';
import { type OpenedExits, tenantCandidate } from './tenants.ts';

type Exit = NonNullable<PolicyDocument['exits']>[number];
/** What became of an object. */
export interface Verdict {
  readonly kind: string;
  /** Its name, with `namespace/` before it where it has one. */
  readonly name: string;
  /** What is wrong, with pointers into the object; none: it is accepted. */
  readonly problems: readonly Problem[];
  /** What has no counterpart, of an object that others have made. */
  readonly notes?: readonly Problem[];
  readonly inForce: InForce;
  /** Names of the policies and exits that stand for it. */
  readonly policies: readonly string[];
  readonly exits: readonly string[];
  /** The gateways of an exit, by their underlay addresses. */
  readonly gateways: readonly string[];
}

/** What objects come to. */
export interface Translation {
  readonly kept: KeptObjects;
  readonly verdicts: readonly Verdict[];
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
  const gone = goneExits(exits, wantedExits(policies, objects.tenants ?? []), others, before);
  const known = [...builtInExits, ...namesOf(others), ...exits.map(({ name }) => name)];
  const around = [...others, { name: nodesSource, document: nodes }];
  // One after the other: what tenants and others want never changes what administrators say.
  const own = settled([...exits, ...gone, ...policies], around);
  const open = exitsIn([...around, ...own]);
  const tenants = byAge(objects.tenants ?? []).map((object) => tenantCandidate(object, open, before));
  const ofTenants = settled(tenants, [...around, ...own]);
  const foreign = othersCandidates(objects.others ?? [], objects.nodes);
  settle(foreign, [...around, ...own, ...ofTenants]);
  blameGone(policies, gone, known);
  blameRefused(policies, exits);
  const seen = [...exits, ...policies, ...tenants, ...foreign];
  return {
    kept: keptOf(nodes, [...exits, ...gone, ...policies, ...tenants, ...foreign]),
    verdicts: seen.map(verdictOf),
  };
}

/** Settled, as sources for who comes behind them. */
function settled(candidates: readonly Candidate[], others: readonly Source[]): Source[] {
  settle(candidates, others);
  return candidates.map((each) => ({ name: calledOf(each), document: each.forms[0]?.document ?? {} }));
}

const exitsIn = (sources: readonly Source[]): OpenedExits =>
  sources.flatMap(({ document }) => (document.exits ?? []) as OpenedExits);

const nodesSource = 'nodes of the cluster';

/** The nodes of the cluster that no other source has, and what else is the cluster's own. */
function nodesDocument(nodes: readonly ClusterNode[], others: readonly Source[]): PolicyDocument {
  const known = new Set(others.flatMap(({ document }) => (document.nodes ?? []).map(({ address }) => address)));
  const found = nodes.toSorted(byName).filter(({ addresses: [address] }) => address && !known.has(address));
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
    .toSorted(byName)
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

/** Exits that are gone, and that policies still name: they stay where they were kept. */
function goneExits(
  exits: readonly Candidate[],
  named: ReadonlySet<unknown>,
  others: readonly Source[],
  before: KeptObjects | undefined,
): Candidate[] {
  const there = new Set([...exits.map(({ name }) => name), ...namesOf(others)]);
  return (before?.document.exits ?? [])
    .filter(({ name }) => named.has(name) && !there.has(name))
    .map((exit) => ({
      kind: 'EgressExit' as const,
      name: exit.name,
      problems: [],
      forms: [{ inForce: 'earlier' as const, document: { exits: [exit] } }],
    }));
}

/** The exits that policies name in any of their forms. */
const wantedExits = (policies: readonly Candidate[], tenants: readonly EgressObject[]): ReadonlySet<unknown> =>
  new Set([
    ...policies
      .flatMap(({ forms }) => forms.flatMap(({ document }) => document.policies ?? []))
      .map(({ exit }) => exit),
    ...tenants.map(({ spec }) => membersOf(spec).exit),
  ]);

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

/** The exit of a policy may be there, and be refused itself. */
function blameRefused(policies: readonly Candidate[], exits: readonly Candidate[]): void {
  const refused = new Set(exits.filter(({ forms }) => forms.length === 0).map(({ name }) => name));
  for (const { problems } of policies) {
    for (const [i, problem] of problems.entries()) {
      const exit = /^unknown exit "([^"]*)"/.exec(problem.message)?.[1];
      if (exit === undefined || !refused.has(exit)) continue;
      problems[i] = { ...problem, message: `exit "${exit}" is refused itself: kubectl describe egressexit ${exit}` };
    }
  }
}

const asExit = (name: string): Pick<Exit, 'name'>[] => (builtInExits.some((one) => one === name) ? [] : [{ name }]);

function keptOf(nodes: PolicyDocument, candidates: readonly Candidate[]): KeptObjects {
  const forms = candidates.flatMap(({ kind, forms: [form] }) => (form ? [{ kind, ...form }] : []));
  const policiesOf = (some: typeof forms) => some.flatMap(({ document }) => document.policies ?? []);
  const dropped = policiesOf(forms.filter(({ inForce }) => inForce === 'dropped')).filter(
    ({ exit }) => exit === 'drop',
  );
  const tenants = policiesOf(forms.filter(({ kind }) => kind === 'NamespacedEgressPolicy'));
  return {
    document: {
      ...nodes,
      exits: forms.flatMap(({ document }) => document.exits ?? []),
      policies: forms.flatMap(({ document }) => document.policies ?? []),
    },
    refused: dropped.map(({ name }) => name),
    ...(tenants.length > 0 && { tenants: tenants.map(({ name }) => name) }),
  };
}

const verdictOf = ({ kind, name, problems, notes, forms: [form] }: Candidate): Verdict => ({
  ...{ kind, name, problems },
  ...(notes && { notes }),
  inForce: form?.inForce ?? 'nothing',
  policies: (form?.document.policies ?? []).map((policy) => policy.name),
  exits: (form?.document.exits ?? []).map((exit) => exit.name),
  gateways: form?.document.exits?.[0]?.gateways ?? [],
});
