import * as z from 'zod/mini';
import { operators } from '../policy/selector.ts';
import { optional, required } from './option.ts';
import { hasItsValues } from './rules.ts';
import { oneOf } from './value.ts';

/** Kubernetes' rules for labels (apimachinery, pkg/util/validation: IsQualifiedName, IsValidLabelValue). */
const namePattern = '[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?';
const keyPattern = new RegExp(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?${namePattern}$`);
const valuePattern = new RegExp(`^(${namePattern})?$`);

const key = z
  .string('the key of a label')
  .check(z.regex(keyPattern, 'the key of a label, like "app" or "example.org/team"'));

const valueExpected = 'the value of a label: at most 63 letters, digits, ".", "_" and "-", or nothing';
const value = z.string(valueExpected).check(z.regex(valuePattern, valueExpected));

const requirement = z
  .strictObject(
    {
      key: required(key, 'Key of the label.'),
      operator: required(oneOf(operators), 'Whether the label must have one of the values, none, be there, or not.'),
      values: optional(z.array(value, 'a list of values'), 'Values for `In` and `NotIn`.'),
    },
    'an object with key and operator',
  )
  .check(
    z.refine(hasItsValues, '"values" with at least one in it for In and NotIn, and none for Exists and DoesNotExist'),
  );

/** A label selector of Kubernetes (API reference, LabelSelector). */
export const labelSelector = z.strictObject(
  {
    matchLabels: optional(z.record(key, value, 'labels: keys with their values'), 'Labels that must be there.'),
    matchExpressions: optional(z.array(requirement, 'a list of requirements'), 'Requirements that must hold.'),
  },
  'a label selector',
);

export type LabelSelector = z.infer<typeof labelSelector>;
