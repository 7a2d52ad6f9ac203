/** Like `config/schema-judge.ts`: the built binary loads the schemas of records when one is read that does not have its form. */
import type { Reading, RecordForm } from './record.ts';
import { recordSchemas } from './record-schema.ts';

/** A record by its schema, or where it is wrong. */
export function judgeRecord(form: RecordForm, data: unknown): Reading<unknown> {
  const result = recordSchemas[form].safeParse(data);
  if (result.success) return { kind: 'record', record: result.data };
  return { kind: 'broken', reason: `wrong value at /${result.error.issues[0]?.path.join('/') ?? ''}` };
}
