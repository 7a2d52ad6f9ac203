import { type Attachment, markOf } from '../base/attachment.ts';
import type {
  AgentRecord,
  AttachmentRecord,
  ElectionRecord,
  MovesRecord,
  NodeRecord,
  ProgramRecord,
  RecordForm,
} from './record.ts';

/** One kind of record: its form, and the name of its file. */
export interface Kind<T> {
  readonly form: RecordForm;
  fileNameOf(record: T): string;
}

/** No name of a network or container holds a `+` or a `/`: different attachments have different files. */
export const fileNameOf = (attachment: Attachment): string => `${markOf(attachment).replaceAll('/', '+')}.json`;

export const attachmentKind: Kind<AttachmentRecord> = { form: 'attachment', fileNameOf };
export const programKind: Kind<ProgramRecord> = {
  form: 'program',
  fileNameOf: ({ program }) => `${program}.json`,
};
export const nodeKind: Kind<NodeRecord> = { form: 'node', fileNameOf: () => 'node.json' };
export const agentKind: Kind<AgentRecord> = { form: 'agent', fileNameOf: () => 'agent.json' };
export const electionKind: Kind<ElectionRecord> = { form: 'election', fileNameOf: () => 'elections.json' };
export const movesKind: Kind<MovesRecord> = { form: 'moves', fileNameOf: () => 'moves.json' };
