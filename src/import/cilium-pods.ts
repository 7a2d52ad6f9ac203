import * as z from 'zod/mini';
import type { Problem } from '../config/problem.ts';
import { askedFor, fitName, labelsUnknown, namePods, type ReadingContext } from './draft.ts';
import { ciliumLabels, type KnownLabels, namespaceName } from './known-labels.ts';
import type { Manifest } from './manifest.ts';
import { inBoth, labelSelector, type Selected, selected } from './selector.ts';

const selectorsOfPods = { podSelector: z.optional(labelSelector), namespaceSelector: z.optional(labelSelector) };

/** Pods in a CiliumEgressNATPolicy: they fit both selectors. */
export const podRuleWithoutNodes = z.object(selectorsOfPods, 'an object');

/** Pods in a CiliumEgressGatewayPolicy: they fit all selectors that are there. */
export const podRule = z.object({ ...selectorsOfPods, nodeSelector: z.optional(labelSelector) }, 'an object');

type Rule = z.infer<typeof podRule>;

/** Pods of some namespaces, those with some labels. */
export interface LabelledPods extends Pick<KnownLabels, 'podSelector' | 'namespaceSelector'> {
  readonly namespaces: readonly string[];
}

/** The pods of a policy: all pods of some namespaces, and of others the pods that ask. */
export interface Pods {
  /** Namespaces with all their pods. */
  readonly all: readonly string[];
  /** Pods that labels choose, where plugins are told them. */
  readonly labelled: readonly LabelledPods[];
  /** Namespaces with some of their pods. */
  readonly asking: readonly string[];
  /** The policy that those pods ask for. */
  readonly askingName: string;
  readonly warnings: readonly Problem[];
}

/** Pods of the namespaces, unless there are reasons why not all of them. */
interface Selection {
  readonly pointer: string;
  /** Empty: no pod fits. */
  readonly namespaces: readonly string[];
  readonly reasons: readonly Reason[];
  /** Labels that plugins are told; `undefined`: any. */
  readonly labels?: KnownLabels;
}

/** Something that chooses pods and has no counterpart. */
interface Reason {
  readonly pointer: string;
  readonly why: string;
  readonly instead: string;
}

/** What a policy says about its pods, and where in the document. */
export interface PlacedRules {
  readonly rules: readonly Rule[];
  readonly pointer: string;
}

/** A rule that makes Cilium refuse its whole policy; `undefined` when there is none. */
export const refusedRule = (rules: readonly Rule[]): number | undefined => {
  const place = rules.findIndex(({ podSelector, namespaceSelector }) => !podSelector && !namespaceSelector);
  return place < 0 ? undefined : place;
};

/**
 * The pods of a policy, which the rules choose together.
 *
 * @param unknown keys of the document that are not known: one inside a rule may choose fewer pods
 */
export function podsOf(
  { source, name }: Manifest,
  { rules, pointer }: PlacedRules,
  unknown: readonly Problem[],
  { prefix, knowsLabels }: ReadingContext,
): Pods {
  const ofNodes = reasonOfNodes(rules, pointer);
  const read = knowsLabels ? labelledSelectionOf : selectionOf;
  const selections = rules.map((rule, i) => read(rule, `${pointer}/${i}`, unknown, ofNodes));
  const all = union(selections.filter(({ reasons, labels }) => reasons.length === 0 && labels === undefined));
  // Pods that another rule takes anyway need not ask.
  const narrow = selections.filter(({ namespaces, reasons }) => reasons.length > 0 && !isWithin(namespaces, all));
  const labelled = selections.flatMap(({ namespaces, reasons, labels }) =>
    reasons.length === 0 && labels !== undefined && namespaces.length > 0
      ? [{ namespaces, ...selectorsOf(labels) }]
      : [],
  );
  const askingName = fitName(`${prefix}${name}${all.length + labelled.length > 0 ? '-opt-in' : ''}`);
  const idle = selections.filter(({ namespaces }) => namespaces.length === 0).map((each) => each.pointer);
  const warnings = [
    ...(rules.length === 0 ? [pointer] : idle).map((at) => ({ source, pointer: at, message: 'no pod fits: left out' })),
    ...[...new Set(narrow.flatMap(({ reasons }) => reasons))].map((reason) => warningOf(source, reason, askingName)),
  ];
  return { all, labelled, asking: union(narrow), askingName, warnings };
}

const selectorsOf = ({ podSelector, namespaceSelector }: KnownLabels) => ({
  ...(podSelector && { podSelector }),
  ...(namespaceSelector && { namespaceSelector }),
});

const warningOf = (source: string, { pointer, why, instead }: Reason, policy: string): Problem => ({
  source,
  pointer,
  message: `${why}: ${askedFor(policy)}; ${instead}`,
});

/** A pod’s node has to fit one of the selectors of nodes, whichever rules they are in: each rule is for those nodes only. */
function reasonOfNodes(rules: readonly Rule[], pointer: string): Reason[] {
  const chosen = rules.flatMap(({ nodeSelector }, i) => (nodeSelector ? [{ i, nodes: labelsOf(nodeSelector) }] : []));
  const [first] = chosen;
  if (first === undefined || chosen.some(({ nodes }) => nodes.length === 0)) return [];
  const labels = chosen.map(({ nodes }) => nodes.join(', ')).join('; ');
  const more = rules.length > 1 ? ', which Cilium asks for in all selectors,' : '';
  const why = `labels of the pods’ nodes (${labels})${more} have no counterpart, ${labelsUnknown}`;
  return [{ pointer: `${pointer}/${first.i}/nodeSelector`, why, instead: choosePerNode }];
}

const labelsOf = (selector: Rule['nodeSelector']): readonly string[] => selected(selector, () => false).unknowable;

function selectionOf(rule: Rule, pointer: string, unknown: readonly Problem[], ofNodes: readonly Reason[]): Selection {
  const pods = selected(rule.podSelector, namesNamespaceOfPod);
  const namespaces = selected(rule.namespaceSelector, (key) => key === namespaceName);
  const reasons = [
    ...reasonOf(`${pointer}/podSelector`, pods, 'labels of pods', namePods),
    ...reasonOf(`${pointer}/namespaceSelector`, namespaces, 'labels of namespaces', nameNamespaces),
    ...ofNodes,
    ...reasonOfUnknown(pointer, unknown),
  ];
  return { pointer, namespaces: inBoth(pods.namespaces, namespaces.namespaces) ?? ['*'], reasons };
}

/** The same where plugins are told labels: what is left without counterpart are keys that Cilium alone knows. */
function labelledSelectionOf(...[rule, pointer, unknown, ofNodes]: Parameters<typeof selectionOf>): Selection {
  const pods = selected(rule.podSelector, namesNamespaceOfPod);
  const namespaces = selected(rule.namespaceSelector, (key) => key === namespaceName);
  const labels = ciliumLabels(pods.rest, namespaces.rest);
  const reasons = [
    ...(labels.unknowable.length > 0 ? [{ pointer, why: notSeen(labels.unknowable), instead: namePods }] : []),
    ...ofNodes,
    ...reasonOfUnknown(pointer, unknown),
  ];
  const named = inBoth(pods.namespaces, namespaces.namespaces) ?? ['*'];
  const isAny = labels.podSelector === undefined && labels.namespaceSelector === undefined;
  return { pointer, namespaces: labels.isIdle ? [] : named, reasons, ...(isAny ? {} : { labels }) };
}

const notSeen = (labels: readonly string[]): string =>
  `labels (${labels.join(', ')}) that Cilium by default gives no pod, or that are its own, have no counterpart`;

const reasonOfUnknown = (pointer: string, unknown: readonly Problem[]): Reason[] =>
  unknown.some((each) => each.pointer.startsWith(`${pointer}/`)) ? [{ pointer, ...unknownChoice }] : [];

const reasonOf = (pointer: string, { unknowable }: Selected, what: string, instead: string): Reason[] =>
  unknowable.length === 0
    ? []
    : [{ pointer, why: `${what} (${unknowable.join(', ')}) have no counterpart, ${labelsUnknown}`, instead }];

const nameNamespaces = 'the namespaces can be listed by name instead';

const choosePerNode = 'the policy can stand in the policy file of these nodes only instead';

const unknownChoice = {
  why: 'it is not known which pods the unknown key chooses',
  instead: 'namespaces and names of the pods can be listed instead',
};

/** What Cilium labels every pod with. */
const namespaceLabels = ['io.kubernetes.pod.namespace', `io.cilium.k8s.namespace.labels.${namespaceName}`];

/** Before the key may stand where the label is from. */
const namesNamespaceOfPod = (key: string): boolean => namespaceLabels.includes(key.replace(/^(k8s|any):/, ''));

/** The namespaces of all, with nothing beside the wildcard. */
function union(selections: readonly Selection[]): string[] {
  const all = [...new Set(selections.flatMap(({ namespaces }) => namespaces))];
  return all.includes('*') ? ['*'] : all;
}

const isWithin = (namespaces: readonly string[], wider: readonly string[]): boolean =>
  wider.includes('*') || namespaces.every((each) => wider.includes(each));
