import { EgressError } from '../base/errors.ts';
import type { Change } from '../datapath/difference.ts';
import type { Needs } from '../datapath/needs.ts';
import { isPodsOwn } from '../datapath/noted.ts';
import { printChanges } from '../datapath/print.ts';
import type { NodeRecord } from '../store/record.ts';
import { carriedOut } from './change.ts';
import { differenceBesideNoted } from './difference-now.ts';
import type { Machine } from './machine.ts';
import { keepNote, type Note, programIn } from './note.ts';

/**
 * Gives a pod its own part of a program that the last call's note knows, without a look at the rest. Returns what that changed;
 * `undefined` when nothing was done: the note does not know it, somebody has changed the ruleset since, or something else than the
 * pod's own part is missing. Then everything has to be looked at. Needs the store's lock.
 */
export async function setUpBesideNoted(
  machine: Machine,
  node: NodeRecord,
  needs: Needs,
  note: Note,
): Promise<readonly Change[] | undefined> {
  const { attachment } = needs;
  if (attachment === undefined || node.unmarked || programIn(note, node, needs) === undefined) return undefined; // marks are tried by a full look
  const { generation } = note;
  const state = await machine.host.observeBesideNoted(node, needs, generation);
  if (state === undefined) return undefined;
  const changes = await differenceBesideNoted(machine, node, needs, state);
  if (!changes.every((change) => isPodsOwn(change, attachment))) return undefined;
  machine.log.debug(() => ({ commands: printChanges(changes) }), 'changing');
  const done = await unlessRefused(carriedOut(machine, changes, generation));
  if (done !== undefined) await keepNote(machine, note, done.later);
  return done?.changes;
}

/** What the kernel refuses, a full look may find the reason of: it would not be as a note says. */
async function unlessRefused<T>(done: Promise<T>): Promise<T | undefined> {
  try {
    return await done;
  } catch (error) {
    if (error instanceof EgressError && error.code === 'kernel-refused') return undefined;
    throw error;
  }
}
