import * as z from 'zod/mini';
import { type PolicyDocument, policyDocumentSchema } from './schema.ts';

/**
 * A policy document with every default written out, keys in the order of the schema. Its meaning is the same: ids of
 * exits come from their names, and stay out where they were not given.
 */
export function normalForm(document: PolicyDocument): PolicyDocument {
  const full = filledIn(policyDocumentSchema, document) as PolicyDocument;
  const fwmark = `0x${Number(full.fwmark).toString(16).padStart(8, '0')}`;
  return { ...full, fwmark };
}

/** A value that the schema has made canonical, with the defaults that the schema tells people. */
function filledIn(schema: z.core.$ZodType, value: unknown): unknown {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type === 'optional') {
    const present = value ?? z.globalRegistry.get(schema)?.default;
    return present === undefined ? undefined : filledIn(def.innerType, present);
  }
  if (def.type === 'array') return (value as unknown[]).map((item) => filledIn(def.element, item));
  if (def.type !== 'object') return value;
  const members = Object.entries(def.shape).map(([key, member]) => [
    key,
    filledIn(member, (value as Record<string, unknown>)[key]),
  ]);
  return Object.fromEntries(members.filter(([, member]) => member !== undefined));
}
