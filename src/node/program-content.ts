import { EgressError } from '../base/errors.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';

/** The program of an attachment with all its ranges. Throws `check-failed` when its record is missing: an outline is no program. */
export function wholeProgram({ store }: Pick<Machine, 'store'>, { program }: AttachmentRecord): ProgramContent {
  const content = store.loadProgram(program);
  if (content !== undefined) return content;
  throw new EgressError('check-failed', `The record of ${program} is missing: what it says is only made by ADD`);
}
