import { markOf } from '../base/attachment.ts';
import { findDead } from '../cni/gc.ts';
import type { Machine } from '../cni/machine.ts';
import { planRelease, tearDown } from '../cni/tear-down.ts';
import { printChanges } from '../datapath/print.ts';

/** Takes down what belongs to attachments whose interface is gone from the host. Returns their marks. */
export async function collect(machine: Machine): Promise<string[]> {
  using _lock = machine.store.lock();
  const dead = await findDead(machine);
  for (const attachment of dead) await tearDown(machine, attachment);
  return dead.map(markOf);
}

/** The commands that {@link collect} would stand for, and the attachments. Changes nothing. */
export async function planCollection(machine: Machine): Promise<{ marks: string[]; commands: string }> {
  const marks = (await findDead(machine)).map(markOf);
  return { marks, commands: printChanges(await planRelease(machine, new Set(marks))) };
}
