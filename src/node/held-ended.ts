import { families } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import { connectionOf } from '../datapath/held.ts';
import type { AttachmentRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';
import { wholeProgram } from './program-content.ts';
import { setUp } from './set-up.ts';
import { releaseHeld, tearDown } from './tear-down.ts';

/**
 * Lets go what pods hold of connections that have ended, as conntrack knows them. A pod without any left comes to its
 * program as all others do, and one without a policy has nothing of ours any more. Takes the store's lock where there is
 * something to do. A pod that cannot be changed keeps no other from it, and is tried again by the next call.
 */
export async function endHeld(machine: Machine): Promise<void> {
  if (isNothing(await endedNow(machine))) return;
  using _lock = await machine.store.lock();
  const { keys, done } = await endedNow(machine); // an ADD may have been in the middle
  for (const record of done) {
    await withoutHeld(machine, record).catch((error) =>
      machine.log.warn({ attachment: markOf(record), error: String(error) }, 'could not be taken off its connections'),
    );
  }
  if (keys.size > 0) await releaseHeld(machine, ({ key }) => keys.has(key));
}

/** Whether {@link endHeld} would do something. Changes nothing. */
export const isHeldEnded = async (machine: Machine): Promise<boolean> => !isNothing(await endedNow(machine));

interface Ended {
  /** Keys of elements whose connections have ended. */
  readonly keys: ReadonlySet<string>;
  /** Records that hold no connection any more. */
  readonly done: readonly AttachmentRecord[];
}

const isNothing = ({ keys, done }: Ended): boolean => keys.size + done.length === 0;

async function endedNow({ host, store }: Machine): Promise<Ended> {
  const holding = store.list().filter(({ holds }) => holds);
  const elements = holding.length > 0 || (await host.hasTable()) ? await host.listHeld() : [];
  const living = new Set<number>();
  for (const family of elements.length > 0 ? families : [])
    for (const id of await host.listConnections(family)) living.add(id);
  const held = elements.filter((element) => living.has(connectionOf(element)));
  const marks = new Set(held.map(({ comment }) => comment));
  return {
    keys: new Set(elements.filter((element) => !held.includes(element)).map(({ key }) => key)),
    done: holding.filter((record) => !marks.has(markOf(record))),
  };
}

async function withoutHeld(machine: Machine, { holds: _, ...record }: AttachmentRecord): Promise<void> {
  const node = machine.store.loadNode();
  if (node === undefined || record.outline.length === 0) {
    await tearDown(machine, record, { addresses: record.addresses, keepLinks: true, keepFlows: true });
    return;
  }
  machine.store.save(record);
  // Its element alone is another one, so the program need not be compared.
  await setUp(machine, node, record, { whole: () => wholeProgram(machine, record), thorough: false, held: new Map() });
}
