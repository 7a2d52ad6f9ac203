/**
 * All that the plugin needs of the schemas. The built binary loads it, and with it the schemas and their library, when it is first
 * called (`install/bundle.ts`): it exports functions alone, which take and give plain data.
 */

import { judge } from './judge.ts';
import type { KeptObjects } from './kept.ts';
import type { Judged } from './problem.ts';
import { type ChainEntry, chainEntrySchema, keptSchema, type PolicyDocument, policyDocumentSchema } from './schema.ts';

export { soundParts } from './sound.ts';

export const judgeEntry = (value: unknown, source: string): Judged<ChainEntry> =>
  judge(chainEntrySchema, value, source);

export const judgeDocument = (value: unknown, source: string): Judged<PolicyDocument> =>
  judge(policyDocumentSchema, value, source);

export const judgeKept = (value: unknown, source: string): Judged<KeptObjects> => judge(keptSchema, value, source);
