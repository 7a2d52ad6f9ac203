import type * as z from 'zod/mini';
import { suggestion } from '../base/nearest.ts';
import { pointerOf } from '../config/problem.ts';

/** A key that a schema does not have. */
export interface UnknownKey {
  /** JSON pointer below the value that was looked at. */
  readonly pointer: string;
  readonly message: string;
}

/**
 * The keys of a value that its schema does not have, in objects of any depth. Objects that hold any keys (labels) have
 * none that are unknown.
 */
export const unknownKeys = (schema: z.core.$ZodType, value: unknown): UnknownKey[] => below(schema, value, []);

function below(schema: z.core.$ZodType, value: unknown, path: readonly PropertyKey[]): UnknownKey[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type === 'optional') return below(def.innerType, value, path);
  if (def.type === 'array') return (value as unknown[]).flatMap((item, i) => below(def.element, item, [...path, i]));
  if (def.type !== 'object') return [];
  return Object.entries(value as object).flatMap(([key, member]) => {
    const inner = Object.hasOwn(def.shape, key) ? def.shape[key] : undefined;
    if (inner) return below(inner, member, [...path, key]);
    return [{ pointer: pointerOf([...path, key]), message: `unknown key, ${suggestion(key, Object.keys(def.shape))}` }];
  });
}
