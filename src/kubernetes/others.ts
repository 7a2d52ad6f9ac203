import type { Address } from '../base/address.ts';
import { toSelector } from '../config/configuration.ts';
import { judge } from '../config/judge.ts';
import type { Problem } from '../config/problem.ts';
import { type PolicyDocument, policyDocumentSchema } from '../config/schema.ts';
import type { ExitDraft } from '../import/draft.ts';
import { importObjects } from '../import/import.ts';
import type { Knowledge } from '../import/options.ts';
import { fitsSelector } from '../policy/selector.ts';
import { byAge, byName, type Candidate, type Form } from './candidate.ts';
import type { ClusterNode, OthersObject } from './objects.ts';

/** What names of policies and exits begin with that objects of others stand for. */
const prefixes: Readonly<Record<OthersObject['of'], string>> = { cilium: 'cilium.', kubeVip: 'kube-vip.' };

/** Kubernetes' label of nodes that external load balancers leave out (well-known labels). */
const excluded = 'node.kubernetes.io/exclude-from-external-load-balancers';

/**
 * Objects of Cilium and of kube-vip with the meaning that `egress import` gives them, with labels as they are and gateways as
 * the cluster has them. What one of them wants, and cannot have, is dropped, as far as it is known whose it is.
 */
export function othersCandidates(objects: readonly OthersObject[], nodes: readonly ClusterNode[]): Candidate[] {
  return Object.keys(prefixes).flatMap((of) => {
    const own = objects.filter((object) => object.of === of);
    return own.length === 0 ? [] : candidatesOf(own, prefixes[of as OthersObject['of']], nodes);
  });
}

function candidatesOf(objects: readonly OthersObject[], prefix: string, nodes: readonly ClusterNode[]): Candidate[] {
  const ordered = byAge(objects);
  const parsed = ordered.map(({ value }, i) => ({ file, position: i + 1, value }));
  const known: Knowledge = {
    prefix,
    anyGateway: `a node without the label ${excluded}`,
    gatewaysOf: gatewaysAmong(nodes),
  };
  const nothing = { gateways: [], nodes: [], nodeRanges: [], addresses: [], nextHops: [], clusterCIDRs: [] };
  const found = importObjects(parsed, { ...nothing, known });
  return ordered.flatMap(({ kind, name, namespace }) => {
    const called = namespace === undefined ? name : `${namespace}/${name}`;
    const made = found.get(`${file} ${kind} ${called}`);
    if (made === undefined) return [];
    const problems = different(made.problems);
    return [{ kind, name: called, problems, notes: different(made.notes), forms: formsOf(made.document, problems) }];
  });
}

/** Where objects come from, in the place of a file's name. */
const file = 'cluster';

function formsOf(document: PolicyDocument, problems: Problem[]): Form[] {
  const judged = judge(policyDocumentSchema, document, '');
  if ('problems' in judged) {
    problems.push(...judged.problems.map((each) => ({ ...each, pointer: '/spec' })));
    return [];
  }
  const { policies = [] } = judged.value;
  if (problems.length > 0 && policies.length === 0) return [];
  const dropped = policies.map((policy) => (policy.exit === 'node' ? policy : { ...policy, exit: 'drop' }));
  return [
    { inForce: problems.length > 0 ? 'dropped' : 'own', document: judged.value },
    { inForce: 'dropped', document: { policies: dropped } },
  ];
}

const different = (problems: readonly Problem[]): Problem[] => [
  ...new Map(problems.map((problem) => [`${problem.pointer} ${problem.message}`, problem])).values(),
];

/**
 * Cilium's selectors say which nodes are gateways, in the order of their names; without them it is the node that has the
 * address. A Service of kube-vip's may be served by any node that load balancers may use.
 */
const gatewaysAmong =
  (nodes: readonly ClusterNode[]) =>
  ({ nodes: selectors, from, addresses }: ExitDraft): readonly Address[] => {
    const isGateway = ({ labels, addresses: own }: ClusterNode): boolean => {
      if (selectors !== undefined)
        return selectors.some((selector) => fitsSelector(toSelector(selector ?? {}), labels));
      if (from !== undefined) return own.some((address) => addresses.includes(address));
      return !Object.hasOwn(labels, excluded);
    };
    return nodes
      .filter(isGateway)
      .toSorted(byName)
      .flatMap(({ addresses: [first] }) => first ?? []);
  };
