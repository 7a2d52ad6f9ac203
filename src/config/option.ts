// Not 'zod': the full package loads far more.
import * as z from 'zod/mini';

/** A key that must be there. Editors show the description, and the table in conf/README.md has it. */
export const required = <T extends z.ZodMiniType>(schema: T, description: string): T =>
  schema.check(z.describe(description));

/** A key that may be absent. `byDefault` is for people and editors; `defaults.ts` is filled in later. */
export const optional = <T extends z.ZodMiniType>(schema: T, description: string, byDefault?: unknown) =>
  z.optional(schema).check(z.meta({ description, ...(byDefault !== undefined && { default: byDefault }) }));
