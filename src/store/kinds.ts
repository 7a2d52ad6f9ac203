import type * as z from 'zod/mini';
import { type Attachment, markOf } from '../base/attachment.ts';
import {
  type AgentRecord,
  type AttachmentRecord,
  agentRecord,
  attachmentRecord,
  type ElectionRecord,
  electionRecord,
  type MovesRecord,
  movesRecord,
  type NodeRecord,
  nodeRecord,
  type ProgramRecord,
  programRecord,
} from './record.ts';

/** One kind of record: its schema, and the name of its file. */
export interface Kind<T> {
  readonly schema: z.ZodMiniType<T>;
  fileNameOf(record: T): string;
}

/** No name of a network or container holds a `+` or a `/`: different attachments have different files. */
export const fileNameOf = (attachment: Attachment): string => `${markOf(attachment).replaceAll('/', '+')}.json`;

export const attachmentKind: Kind<AttachmentRecord> = { schema: attachmentRecord, fileNameOf };
export const programKind: Kind<ProgramRecord> = {
  schema: programRecord,
  fileNameOf: ({ program }) => `${program}.json`,
};
export const nodeKind: Kind<NodeRecord> = { schema: nodeRecord, fileNameOf: () => 'node.json' };
export const agentKind: Kind<AgentRecord> = { schema: agentRecord, fileNameOf: () => 'agent.json' };
export const electionKind: Kind<ElectionRecord> = { schema: electionRecord, fileNameOf: () => 'elections.json' };
export const movesKind: Kind<MovesRecord> = { schema: movesRecord, fileNameOf: () => 'moves.json' };
