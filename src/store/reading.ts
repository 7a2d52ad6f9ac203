import type * as z from 'zod/mini';
import { NoFile, readIfThere } from '../files/file.ts';
import { type Reading, readRecord } from './record.ts';

/** The content of a record's file; `undefined` when there is none. Folders, pipes and devices are broken records. */
export function readingOf<T>(schema: z.ZodMiniType<T>, path: string): Reading<T> | undefined {
  try {
    const text = readIfThere(path);
    return text === undefined ? undefined : readRecord(schema, text);
  } catch (error) {
    if (error instanceof NoFile) return { kind: 'broken', reason: error.message };
    throw error;
  }
}
