import { markOf } from '../base/attachment.ts';
import { isEqual } from '../base/canonical.ts';
import { asEgressError } from '../base/errors.ts';
import { type HeldConnection, heldElements } from '../datapath/held.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { changeAnyhow } from './change.ts';
import { heldAmong } from './hold.ts';
import type { Machine } from './machine.ts';
import { wholeProgram } from './program-content.ts';
import type { EarlyLook } from './running-pods.ts';
import { setUp } from './set-up.ts';

/**
 * Elements of connections in one transaction: an ADD waits for it, and what the kernel tells of it has room in the socket of an agent
 * that listens.
 */
export const heldAtOnce = 256;

/**
 * Holds connections of pods that run before their program changes, where they are many: some at a time, each time with the store's
 * lock anew. A connection that is held has the exit that it has anyway as long as the program is the same, so nothing that is on its
 * way sees a difference, whenever this ends. Pods come by the map before anything is in it: what was held for them is found by that.
 * Returns whether anything was done; all has to be looked at again then.
 */
export async function holdAhead(machine: Machine, { known, pods }: EarlyLook): Promise<boolean> {
  const holding = [...pods.values()].flatMap(({ previous, moved }) => {
    const held = heldAmong(moved);
    return previous === undefined || held.length === 0 ? [] : [{ previous, held }];
  });
  if (holding.reduce((sum, { held }) => sum + held.length, 0) <= heldAtOnce) return false;
  for (const pod of holding) await holdOf(machine, known, pod);
  return true;
}

async function holdOf(
  machine: Machine,
  node: NodeRecord,
  { previous, held }: { readonly previous: AttachmentRecord; readonly held: readonly HeldConnection[] },
): Promise<void> {
  const record: AttachmentRecord = { ...previous, holds: true };
  const elements = heldElements({ ...record, mark: markOf(record), matches: record.outline, held }, node.exits);
  try {
    if (!previous.holds && !(await comeByMap(machine, node, previous, record))) return;
    for (let at = 0; at < elements.length; at += heldAtOnce)
      if (!(await added(machine, node, record, elements.slice(at, at + heldAtOnce)))) return;
  } catch (error) {
    // The change behind it mends what is missing, or says why it cannot.
    machine.log.warn(
      { attachment: markOf(record), error: asEgressError(error).message },
      'could not hold its connections',
    );
  }
}

/** Has a pod come by the map of connections that are held. False when somebody has changed anything of it. */
async function comeByMap(
  machine: Machine,
  node: NodeRecord,
  previous: AttachmentRecord,
  record: AttachmentRecord,
): Promise<boolean> {
  using _lock = await machine.store.lock();
  if (!isAsSeen(machine, node, previous)) return false;
  machine.store.save(record);
  const whole = () => wholeProgram(machine, record);
  await setUp(machine, node, record, { whole, thorough: false, held: new Map() });
  return true;
}

async function added(
  machine: Machine,
  node: NodeRecord,
  record: AttachmentRecord,
  elements: readonly Element[],
): Promise<boolean> {
  using _lock = await machine.store.lock();
  if (!isAsSeen(machine, node, record)) return false;
  const changes = elements.map((object) => ({ verb: 'add', object }) as const);
  await changeAnyhow(machine, changes);
  return true;
}

const isAsSeen = ({ store }: Machine, node: NodeRecord, record: AttachmentRecord): boolean =>
  isEqual(store.loadNode(), node) && isEqual(store.load(record), record);
