import * as z from 'zod/mini';
import { toSelector } from '../config/configuration.ts';
import { labelSelector as ownSelector } from '../config/selector-schema.ts';
import { oneOf } from '../config/value.ts';
import { operators, type Requirement, requirementText } from '../policy/selector.ts';

/** A LabelSelector of Kubernetes as others write it, who may know more keys: those are told of apart. */
export const labelSelector = z.object(
  {
    matchLabels: z.optional(z.record(z.string(), z.string('a text'), 'labels')),
    matchExpressions: z.optional(
      z.array(
        z.object(
          {
            key: z.string('the key of a label'),
            operator: oneOf(operators),
            values: z.optional(z.array(z.string('a text'), 'a list of texts')),
          },
          'an object with key and operator',
        ),
        'a list of requirements',
      ),
    ),
  },
  'a label selector',
);

export type LabelSelector = z.infer<typeof labelSelector>;

/** The part of a label selector that a CNI plugin can know. */
export interface Selected {
  /** The only namespaces that fit; absent: it says nothing of their names. */
  readonly namespaces?: readonly string[];
  /** The requirements that no CNI plugin can judge, as kubectl writes them. */
  readonly unknowable: readonly string[];
  /** The same requirements, as they stand there. */
  readonly rest: readonly Requirement[];
}

/**
 * @param selector absent or empty: everything fits
 * @param namesNamespace whether a label of this key holds the name of the namespace
 */
export function selected(selector: LabelSelector = {}, namesNamespace: (key: string) => boolean): Selected {
  const requirements = toSelector(selector);
  const known = requirements.filter(({ key, operator }) => namesNamespace(key) && operator !== 'NotIn');
  const rest = requirements.filter((each) => !known.includes(each));
  const namespaces = known.map(namespacesOf).reduce(inBoth, undefined);
  return { unknowable: rest.map(requirementText), rest, ...(namespaces && { namespaces }) };
}

/** The members of both lists; an absent one holds everything. */
export function inBoth(
  one: readonly string[] | undefined,
  other: readonly string[] | undefined,
): readonly string[] | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.filter((each) => other.includes(each));
}

/** Every pod has a namespace. */
function namespacesOf({ operator, values }: Requirement): readonly string[] | undefined {
  if (operator === 'Exists') return undefined;
  return operator === 'In' ? [...new Set(values.filter(isNamespace))] : [];
}

/** A text that cannot be a namespace's name must not become a wildcard. */
const isNamespace = (text: string): boolean => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);

/**
 * A requirement as our selectors have it: values that no label can have are left out.
 *
 * @returns whether everything fits or nothing does, where it says no more than that; `undefined` for a key that no label can have
 */
export function ownRequirement({ key, operator, values }: Requirement): Requirement | boolean | undefined {
  if (operator === 'Exists' || operator === 'DoesNotExist') return isOwn({ key, operator, values: [] });
  const possible = values.filter((value) => isOwn({ key, operator, values: [value] }) !== undefined);
  if (possible.length > 0) return { key, operator, values: possible };
  return isOwn({ key, operator: 'Exists', values: [] }) && operator === 'NotIn';
}

const isOwn = (requirement: Requirement): Requirement | undefined =>
  ownSelector.safeParse({ matchExpressions: [requirement] }).success ? requirement : undefined;
