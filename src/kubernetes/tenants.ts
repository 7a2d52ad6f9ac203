import { choices, suggestion } from '../base/nearest.ts';
import { shown } from '../base/shown.ts';
import { judge } from '../config/judge.ts';
import type { KeptObjects } from '../config/kept.ts';
import type { Problem } from '../config/problem.ts';
import { type PolicyDocument, policyDocumentSchema } from '../config/schema.ts';
import { fitName } from '../import/draft.ts';
import { builtInExits } from '../policy/match.ts';
import { notOpenWords, openExits } from '../policy/wishes.ts';
import { type Candidate, droppedOf, type Form, inSpec, membersOf } from './candidate.ts';
import type { EgressObject } from './objects.ts';

/** Exits as they are in force, with the namespaces that may use them by themselves. */
export type OpenedExits = readonly NonNullable<PolicyDocument['exits']>[number][];

/** Members of a policy that an owner of a namespace has not: they are for others' pods, or for more than others' say. */
export const notTenants: readonly string[] = ['name', 'namespaces', 'namespaceSelector', 'priority', 'optIn'];

/** What a tenant's policy is called among all: no namespace has a dot in its name. */
export const tenantPolicyName = (namespace: string, name: string): string => fitName(`${namespace}.${name}`);

/**
 * A policy that an owner of a namespace has for the namespace's own pods. It may use what annotations of those pods may use:
 * exits whose `annotationNamespaces` fit the namespace, and `drop`. No form of it uses more.
 */
export function tenantCandidate(
  { name, namespace = '', spec }: EgressObject,
  exits: OpenedExits,
  before: KeptObjects | undefined,
): Candidate {
  const kind = 'NamespacedEgressPolicy';
  const own = tenantPolicyName(namespace, name);
  const { namespaces: _, ...members } = membersOf(spec);
  const foreign = Object.keys(membersOf(spec)).filter((key) => notTenants.includes(key));
  const document = { policies: [{ ...members, name: own, namespaces: [namespace] }] };
  const judged = judge(policyDocumentSchema, document, `${kind}/${namespace}/${name}`);
  const problems = [
    ...foreign.map((key) => problemAt(`/spec/${key}`, `"${key}" is for policies of the whole cluster: leave it out`)),
    ...('problems' in judged ? judged.problems.map(inSpec) : []),
  ];
  if (problems.length === 0 && 'value' in judged) problems.push(...closed(judged.value, exits, namespace));
  const forms: Form[] = 'value' in judged && problems.length === 0 ? [{ inForce: 'own', document: judged.value }] : [];
  const dropped = foreign.length > 0 ? undefined : droppedOf(document);
  return {
    ...{ kind, name: `${namespace}/${name}`, problems },
    forms: [
      ...forms,
      ...earlierOf(own, before).filter((form) => closed(form.document, exits, namespace).length === 0),
      ...(dropped ? [{ inForce: 'dropped' as const, document: { policies: [dropped] } }] : []),
    ],
  };
}

const problemAt = (pointer: string, message: string): Problem => ({ source: '', pointer, message });

/** What a tenant's policy was when it was right last, unless it is not known, or another's policy had the name. */
function earlierOf(name: string, before: KeptObjects | undefined): Form[] {
  const isKnown = before?.tenants?.includes(name) === true && !before.refused.includes(name);
  const policy = isKnown ? before.document.policies?.find((each) => each.name === name) : undefined;
  return policy ? [{ inForce: 'earlier', document: { policies: [policy] } }] : [];
}

/** Why the exit is not open to the namespace. Only names of exits that are open to it are told. */
function closed({ policies = [] }: PolicyDocument, exits: OpenedExits, namespace: string): Problem[] {
  const rights = exits.map(({ name, annotationNamespaces = [] }) => ({ name, annotationNamespaces }));
  const open = openExits(rights, namespace);
  return policies
    .filter(({ exit }) => !open.includes(exit))
    .map(({ exit }) => {
      const exists = [...builtInExits, ...exits.map(({ name }) => name)].includes(exit);
      const words = exists
        ? `${notOpenWords(exit, `namespace "${namespace}"`)}, ${choices(open)}`
        : `unknown exit ${shown(exit)}, ${suggestion(exit, open)}`;
      return problemAt('/spec/exit', words);
    });
}
