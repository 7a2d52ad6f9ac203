/** Labels of an object of Kubernetes: key → value. */
export type Labels = Readonly<Record<string, string>>;

/** The operators of label selectors, as Kubernetes spells them. */
export const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/** One requirement on a label. `values` is filled for `In` and `NotIn`, and empty for the others. */
export interface Requirement {
  readonly key: string;
  readonly operator: (typeof operators)[number];
  readonly values: readonly string[];
}

/**
 * A label selector (Kubernetes API, LabelSelector, with `matchLabels` as requirements): all its requirements must hold. Empty:
 * everything fits.
 */
export type Selector = readonly Requirement[];

/** The labels of a pod and of its namespace. */
export interface PodLabels {
  readonly pod: Labels;
  readonly namespace: Labels;
}

/** Whether labels fulfil a selector. As in Kubernetes, `NotIn` also holds for an object without the label. */
export const fitsSelector = (selector: Selector, labels: Labels): boolean =>
  selector.every((requirement) => holds(requirement, labels));

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
  }
}

/** A selector as kubectl writes it: `app=web,tier in (a,b),!legacy`; "any" for an empty one. */
export const selectorText = (selector: Selector): string => selector.map(requirementText).join(',') || 'any';

/** One requirement as kubectl writes it. */
export function requirementText({ key, operator, values }: Requirement): string {
  if (operator === 'Exists') return key;
  if (operator === 'DoesNotExist') return `!${key}`;
  if (operator === 'In' && values.length === 1) return `${key}=${values[0]}`;
  return `${key} ${operator.toLowerCase()} (${values.join(',')})`;
}
