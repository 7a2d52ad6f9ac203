import { NoFile, readIfThere } from '../files/file.ts';
import { type Reading, type RecordForm, readRecord } from './record.ts';

/** The content of a record's file; `undefined` when there is none. Folders, pipes and devices are broken records. */
export function readingOf<T>(form: RecordForm, path: string): Reading<T> | undefined {
  try {
    const text = readIfThere(path);
    return text === undefined ? undefined : readRecord(form, text);
  } catch (error) {
    if (error instanceof NoFile) return { kind: 'broken', reason: error.message };
    throw error;
  }
}
