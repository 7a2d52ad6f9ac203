import { type Form, taken, unsure } from '../base/form.ts';
import { chainEntryForm, keptForm, policyDocumentForm } from './forms.ts';
import type { KeptObjects } from './kept.ts';
import type { Judged } from './problem.ts';
import type { ChainEntry, PolicyDocument } from './schema.ts';
import * as schemas from './schema-judge.ts';

export { soundParts } from './schema-judge.ts';

/** A network configuration, judged by itself. */
export const judgeEntry = (value: unknown, source: string): Judged<ChainEntry> =>
  judged(chainEntryForm, value, () => schemas.judgeEntry(value, source));

/** A policy document, judged by itself. */
export const judgeDocument = (value: unknown, source: string): Judged<PolicyDocument> =>
  judged(policyDocumentForm, value, () => schemas.judgeDocument(value, source));

/** What an agent keeps of the cluster's objects. */
export const judgeKept = (value: unknown, source: string): Judged<KeptObjects> =>
  judged(keptForm, value, () => schemas.judgeKept(value, source));

/** An option of a chain entry alone; `undefined` where it is absent or invalid. */
export function validOption<K extends 'dataDir' | 'logFile' | 'logLevel'>(option: K, value: unknown): ChainEntry[K] {
  const result = taken(chainEntryForm.members[option] as Form, value);
  return result === unsure ? undefined : (result as ChainEntry[K]);
}

/** By the form, which most values have; else by the schema, which is loaded only then and has the words for what is wrong. */
function judged<T>(form: Form, value: unknown, bySchema: () => Judged<T>): Judged<T> {
  const result = taken(form, value);
  return result === unsure ? bySchema() : { value: result as T };
}
