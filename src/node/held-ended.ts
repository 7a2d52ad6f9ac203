import { families } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import { isEqual } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import { connectionOf } from '../datapath/held.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { changeAnyhow } from './change.ts';
import { heldAtOnce } from './hold-ahead.ts';
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
  const ended = await endedNow(machine);
  if (isNothing(ended)) return;
  const rest = await letGo(machine, ended.elements);
  using _lock = await machine.store.lock();
  for (const record of await stillDone(machine, ended)) {
    await withoutHeld(machine, record).catch((error) =>
      machine.log.warn({ attachment: markOf(record), error: String(error) }, 'could not be taken off its connections'),
    );
  }
  const keys = new Set(rest.map(({ key }) => key));
  if (keys.size > 0) await releaseHeld(machine, ({ key }) => keys.has(key));
}

/**
 * Removes very many elements some at a time, each time with the store's lock anew: an ADD waits for one time. What was seen to have
 * ended has, whatever came since. Returns those that are left, with which goes what nobody needs without them.
 */
async function letGo(machine: Machine, elements: readonly Element[]): Promise<readonly Element[]> {
  let rest = elements;
  while (rest.length > heldAtOnce) {
    const some = rest.slice(0, heldAtOnce);
    using _lock = await machine.store.lock();
    try {
      await changeAnyhow(
        machine,
        some.map((object) => ({ verb: 'remove', object })),
      );
    } catch (error) {
      if (!(error instanceof EgressError) || error.code !== 'kernel-refused') throw error;
      return rest; // somebody took some of them: it is looked for what is there
    }
    rest = rest.slice(heldAtOnce);
  }
  return rest;
}

/** Records without a connection that they hold, by a look with the lock: an ADD may have been in the middle. */
async function stillDone({ host, store }: Machine, { elements, done }: Ended): Promise<readonly AttachmentRecord[]> {
  if (done.length === 0) return [];
  const ended = new Set(elements.map(({ key }) => key));
  const left = new Set((await host.listHeld()).filter(({ key }) => !ended.has(key)).map(({ comment }) => comment));
  return done.filter((record) => isEqual(store.load(record), record) && !left.has(markOf(record)));
}

/** Whether {@link endHeld} would do something. Changes nothing. */
export const isHeldEnded = async (machine: Machine): Promise<boolean> => !isNothing(await endedNow(machine));

interface Ended {
  /** Elements whose connections have ended. */
  readonly elements: readonly Element[];
  /** Records that hold no connection any more. */
  readonly done: readonly AttachmentRecord[];
}

const isNothing = ({ elements, done }: Ended): boolean => elements.length + done.length === 0;

async function endedNow({ host, store }: Machine): Promise<Ended> {
  const holding = store.list().filter(({ holds }) => holds);
  const elements = holding.length > 0 || (await host.hasTable()) ? await host.listHeld() : [];
  const living = new Set<number>();
  for (const family of elements.length > 0 ? families : [])
    for (const id of await host.listConnections(family)) living.add(id);
  const isHeld = (element: Element) => living.has(connectionOf(element));
  const marks = new Set(elements.filter(isHeld).map(({ comment }) => comment));
  return {
    elements: elements.filter((element) => !isHeld(element)),
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
