import { isObject } from '../base/is-object.ts';
import { contradictions } from '../config/checks.ts';
import { judge } from '../config/judge.ts';
import type { Source } from '../config/placed.ts';
import type { Problem } from '../config/problem.ts';
import { type PolicyDocument, policyDocumentSchema } from '../config/schema.ts';
import { soundParts } from '../config/sound.ts';

export type Policy = NonNullable<PolicyDocument['policies']>[number];

/** What is in force of an object on this node. */
export type InForce =
  /** What it says. */
  | 'own'
  /** What it said when it was right last. */
  | 'earlier'
  /** Of a policy: what it is for is dropped. */
  | 'dropped'
  | 'nothing';

/** What may stand for an object in the document. */
export interface Form {
  readonly inForce: InForce;
  readonly document: PolicyDocument;
}

/** An object on its way into the document: what may stand for it, the best first. */
export interface Candidate {
  readonly kind: string;
  /** Its name, with `namespace/` before it where it has one. */
  readonly name: string;
  readonly problems: Problem[];
  /** What has no counterpart, of an object that others have made. */
  readonly notes?: readonly Problem[];
  readonly forms: Form[];
}

/** What messages call an object. */
export const calledOf = ({ kind, name }: Pick<Candidate, 'kind' | 'name'>): string => `${kind}/${name}`;

/** Takes the next form of each object that contradicts something, until nothing does. What others say always stays. */
export function settle(candidates: readonly Candidate[], others: readonly Source[]): void {
  for (;;) {
    const sources = candidates.map(
      (each): Source => ({ name: calledOf(each), document: each.forms[0]?.document ?? {} }),
    );
    const found = Map.groupBy(contradictions([...others, ...sources]), ({ source }) => source);
    const blamed = candidates.filter((each) => found.has(calledOf(each)));
    if (blamed.length === 0) return;
    for (const candidate of firstOfKinds(blamed)) {
      const { problems, forms } = candidate;
      if (problems.length === 0) problems.push(...(found.get(calledOf(candidate)) ?? []).map(inSpec));
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
export const inSpec = ({ source, pointer, message }: Problem): Problem => ({
  source,
  pointer: pointer.replace(/^\/(exits|policies)\/0/, '/spec'),
  message: message.replaceAll(
    /((?:EgressExit|EgressPolicy|NamespacedEgressPolicy)\/[^\s#]+)#\/(?:exits|policies)\/0/g,
    '$1#/spec',
  ),
});

/** The policy with the exit `drop`, when everything is understood that says what it is for. */
export function droppedOf(document: { readonly policies: readonly object[] }): Policy | undefined {
  const { document: sound, lacking } = soundParts(document);
  const [policy] = sound.policies ?? [];
  const isClear = lacking.every((pointer) => /^\/policies\/0\/(exit|priority|onChange)$/.test(pointer));
  if (!isClear || policy?.name === undefined) return undefined;
  const judged = judge(policyDocumentSchema, { policies: [{ ...policy, exit: 'drop' }] }, '');
  return 'value' in judged ? judged.value.policies?.[0] : undefined;
}

export const membersOf = (spec: unknown): Readonly<Record<string, unknown>> => (isObject(spec) ? spec : {});

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** In the order of their names. */
export const byName = (a: { readonly name: string }, b: { readonly name: string }): number => compare(a.name, b.name);

/** Older ones first: theirs is what two of them want. */
export const byAge = <T extends { readonly created: string; readonly name: string; readonly namespace?: string }>(
  objects: readonly T[],
): T[] =>
  objects.toSorted(
    (a, b) => compare(a.created, b.created) || compare(a.namespace ?? '', b.namespace ?? '') || byName(a, b),
  );
