import type { LabelSelector } from '../config/selector-schema.ts';
import { type Requirement, requirementText } from '../policy/selector.ts';
import { ownRequirement } from './selector.ts';

/** Requirements on labels as our policies have them, where plugins are told labels. */
export interface KnownLabels {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  /** Requirements without counterpart, as kubectl writes them. */
  readonly unknowable: readonly string[];
  /** No pod fulfils them. */
  readonly isIdle: boolean;
}

/** A requirement, and of what it asks for a label. */
interface Asked {
  readonly of: 'pod' | 'namespace';
  readonly requirement: Requirement;
}

/** The label that Kubernetes gives every namespace. */
export const namespaceName = 'kubernetes.io/metadata.name';

/** Cilium's labels of pods that are the namespace's: its name, and its own labels. */
const [namespaceOfPod, namespaceLabel] = ['io.kubernetes.pod.namespace', 'io.cilium.k8s.namespace.labels.'];

/**
 * Labels that Cilium (1.18, pkg/labelsfilter, the filter that it has by default) gives no endpoint, so that no selector of its
 * policies finds them; and its own, which no pod has.
 */
const unseen =
  /^(io\.kubernetes|kubernetes\.io|.*beta\.kubernetes\.io|k8s\.io|statefulset\.kubernetes\.io|apps\.kubernetes\.io\/pod-index|batch\.kubernetes\.io|pod-template-|controller-revision-hash|annotation|etcd_node|io\.cilium\.|reserved)/;

/** Selectors of a rule of Cilium's as ours: its selector of pods may ask for labels of their namespace. */
export function ciliumLabels(ofPods: readonly Requirement[], ofNamespaces: readonly Requirement[]): KnownLabels {
  const asked = ofPods.map((requirement) => placed(requirement) ?? requirementText(requirement));
  return knownLabels([...asked, ...ofNamespaces.map((requirement): Asked => ({ of: 'namespace', requirement }))]);
}

/** The selector of a Service as ours. */
export const serviceLabels = (labels: Readonly<Record<string, string>>): KnownLabels =>
  knownLabels(
    Object.entries(labels).map(
      ([key, value]): Asked => ({
        of: 'pod',
        requirement: { key, operator: 'In', values: [value] },
      }),
    ),
  );

/** `undefined`: nobody can tell whether Cilium would find the label. */
function placed({ key, ...rest }: Requirement): Asked | undefined {
  const bare = key.replace(/^(k8s|any):/, '');
  if (bare === namespaceOfPod) return { of: 'namespace', requirement: { key: namespaceName, ...rest } };
  if (bare.startsWith(namespaceLabel))
    return { of: 'namespace', requirement: { key: bare.slice(namespaceLabel.length), ...rest } };
  return unseen.test(bare) ? undefined : { of: 'pod', requirement: { key: bare, ...rest } };
}

function knownLabels(parts: readonly (Asked | string)[]): KnownLabels {
  const judged = parts.map((part) => (typeof part === 'string' ? part : judgedOf(part)));
  const selector = (of: Asked['of']) => {
    const found = judged.flatMap((each) => (typeof each === 'object' && each.of === of ? [each.requirement] : []));
    return found.length === 0 ? undefined : { matchExpressions: found.map(expressionOf) };
  };
  const [podSelector, namespaceSelector] = [selector('pod'), selector('namespace')];
  return {
    ...(podSelector && { podSelector }),
    ...(namespaceSelector && { namespaceSelector }),
    unknowable: judged.filter((each) => typeof each === 'string'),
    isIdle: judged.includes(false),
  };
}

const judgedOf = ({ of, requirement }: Asked): Asked | string | boolean => {
  const own = ownRequirement(requirement);
  if (own === undefined) return requirementText(requirement);
  return typeof own === 'boolean' ? own : { of, requirement: own };
};

const expressionOf = ({ key, operator, values }: Requirement) => ({
  ...{ key, operator },
  ...(values.length > 0 && { values: [...values] }),
});
