import { markOf } from '../base/attachment.ts';
import type { Change } from '../datapath/difference.ts';
import { findDead } from './living.ts';
import type { Machine } from './machine.ts';
import { settled } from './settled.ts';
import { planRelease, tearDownAll } from './tear-down.ts';

/** Takes down attachments whose interface is gone from the host. Returns their marks. */
export async function collect(machine: Machine): Promise<string[]> {
  using _lock = await machine.store.lockInAnyCase();
  const dead = await findDead(machine);
  if (dead.length > 0) await tearDownAll(machine, dead);
  return dead.map(markOf);
}

/** The attachments that {@link collect} would take down, and the changes that it would make. */
export interface Collection {
  readonly marks: readonly string[];
  readonly changes: readonly Change[];
}

/** What {@link collect} would do. Changes nothing. Waits for a call that is changing something. */
export const planCollection = (machine: Machine): Promise<Collection> =>
  settled(
    machine,
    () => planNow(machine),
    ({ marks, changes }) => marks.length + changes.length === 0,
  );

async function planNow(machine: Machine): Promise<Collection> {
  const marks = (await findDead(machine)).map(markOf);
  return { marks, changes: await planRelease(machine, new Set(marks)) };
}
