import { type Attachment, markOf } from '../base/attachment.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import type { AddRequest } from './add.ts';
import { type Changed, cut, heldAmong, lateAmong, lookAtConnections, type Moved } from './hold.ts';
import type { Machine } from './machine.ts';
import { setUp } from './set-up.ts';

/** The connections of a running pod whose exit is another one when no policy is for it any more. */
export async function movedWithoutPolicy(machine: Machine, attachment: Attachment): Promise<readonly Moved[]> {
  const [previous, node] = [machine.store.load(attachment), machine.store.loadNode()];
  if (previous === undefined || node === undefined) return [];
  const next = { matches: [], exits: node.exits };
  return await lookAtConnections(machine, changedPod(machine, previous, previous, next));
}

/** Whether a running pod without a policy has connections that stay with an exit: then it gets a program without matches. */
export async function holdsAny(
  machine: Machine,
  { attachment, isRunning }: Pick<AddRequest, 'attachment' | 'isRunning'>,
): Promise<boolean> {
  const previous = isRunning && machine.store.load(attachment);
  if (!previous) return false;
  return previous.holds === true || heldAmong(await movedWithoutPolicy(machine, attachment)).length > 0;
}

/** A running pod with what it had, as its record says, and what it gets. Without a record it had nothing. */
export function changedPod(
  { store }: Machine,
  next: AttachmentRecord,
  previous: AttachmentRecord | undefined,
  { exits, ...after }: ProgramContent & Pick<Changed, 'exits'>,
): Changed {
  const before = previous && (store.loadProgram(previous.program) ?? { matches: previous.outline });
  const { subnets } = next;
  return {
    ...{ mark: markOf(next), addresses: next.addresses, exits },
    programs: [
      { matches: [], ...before, subnets },
      { ...after, subnets },
    ],
  };
}

/** What follows a change of a running pod's program. */
export interface Following {
  readonly record: AttachmentRecord;
  readonly whole: () => ProgramContent;
  readonly running: Changed;
  readonly moved: readonly Moved[];
}

/** Forgets connections that are cut, and holds those that began between the look and the change. */
export async function cutAndHoldLate(
  machine: Machine,
  node: NodeRecord,
  { record, whole, running, moved }: Following,
): Promise<void> {
  await cut(machine, moved);
  const late = lateAmong(await lookAtConnections(machine, running), node.exits);
  await cut(machine, late);
  const held = heldAmong(late);
  if (held.length === 0) return;
  const holding = { ...record, holds: true } as const;
  machine.store.save(holding);
  await setUp(machine, node, holding, { whole, thorough: false, held });
}
