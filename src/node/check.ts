import { type Attachment, markOf } from '../base/attachment.ts';
import { EgressError } from '../base/errors.ts';
import type { SteeredAttachment } from '../datapath/attachment.ts';
import { describe } from '../datapath/describe.ts';
import { type Change, difference } from '../datapath/difference.ts';
import { type Needs, needsOf } from '../datapath/needs.ts';
import { isNotable } from '../datapath/noted.ts';
import { type Hindrance, hindranceText } from '../datapath/passage.ts';
import { desiredProgram } from '../datapath/program.ts';
import type { NftSet } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { differenceBesideNoted, differenceNow } from './difference-now.ts';
import { findHindrances, inputOf, sendersOf } from './hindrance.ts';
import type { Machine } from './machine.ts';
import { programIn, readNotes } from './note.ts';
import { otherWays, podUsers } from './other-ways.ts';
import { steeredOf } from './set-up.ts';
import { settled } from './settled.ts';

/**
 * CHECK (CNI specification, "Check container's networking is as expected"): throws `check-failed` that names each thing
 * that is missing or different. An attachment without a record was passed through, when no policy is for it. With a
 * record, annotations are not judged again: the policies of its ADD hold.
 *
 * @param hasPolicy whether a pod like it would be steered now; may throw what ADD would throw
 */
export async function check(
  machine: Machine,
  attachment: Attachment,
  hasPolicy: () => boolean | Promise<boolean>,
): Promise<void> {
  const problems = await problemsOf(machine, attachment);
  if (problems === undefined) {
    if (!(await hasPolicy())) return;
    throw new EgressError('check-failed', `There is no record of ${markOf(attachment)}, but a policy is for it`);
  }
  if (problems.length > 0) throw new EgressError('check-failed', problems.join('; '));
}

/**
 * The missing and different objects of an attachment, one sentence each; `undefined` without a record. Waits for a call
 * that is changing something.
 */
const problemsOf = (machine: Machine, attachment: Attachment): Promise<string[] | undefined> =>
  settled(
    machine,
    () => problemsSeen(machine, attachment),
    (problems) => problems === undefined || problems.length === 0,
  );

/** The same by one look. It may see half of another call. */
export async function problemsSeen(machine: Machine, attachment: Attachment): Promise<string[] | undefined> {
  const found = await partsSeen(machine, attachment);
  return found && [...found.objects, ...found.hindrances.map(hindranceText), ...found.ways];
}

/** What is wrong with an attachment, by whose it is. */
export interface Problems {
  /** Ours: missing and different objects, and records. */
  readonly objects: readonly string[];
  /** Of the node: see {@link findHindrances}. */
  readonly hindrances: readonly Hindrance[];
  /** Rules and routes of others: see {@link otherWays}. */
  readonly ways: readonly string[];
}

/** The same in its parts. */
export async function partsSeen(machine: Machine, attachment: Attachment): Promise<Problems | undefined> {
  const record = machine.store.load(attachment);
  return record && (await problemsNow(machine, record));
}

async function problemsNow(machine: Machine, record: AttachmentRecord): Promise<Problems> {
  const node = machine.store.loadNode();
  if (node === undefined) return { objects: ['The node’s record is missing'], hindrances: [], ways: [] };
  const content = machine.store.loadProgram(record.program);
  const steered = { ...steeredOf(record), ...content };
  const needs = needsOf(node, steered);
  const changes =
    (content && (await differenceByNote(machine, node, needs))) ??
    (await differenceSeen(machine, node, needs, content !== undefined));
  const senders = await sendersOf(machine.host, record.addresses);
  const objects = changes.flatMap(describe);
  return {
    objects: content === undefined ? [`The record of ${record.program} is missing`, ...objects] : objects,
    hindrances: await findHindrances(machine.host, needs.exits, senders.map(inputOf)),
    ways: await otherWays(machine.host, node, needs.exits, podUsers(steered, node, senders)),
  };
}

async function differenceSeen(machine: Machine, node: NodeRecord, needs: Needs, contents: boolean): Promise<Change[]> {
  const { state } = await machine.host.observe(node, needs, { contents });
  return await differenceNow(machine, node, needs, state);
}

/**
 * Nothing, when all is there that the last call's note does not tell, and the ruleset is that of the note; `undefined` when
 * everything has to be looked at.
 */
async function differenceByNote(machine: Machine, node: NodeRecord, needs: Needs): Promise<Change[] | undefined> {
  const note = isNotable(needs) ? readNotes(machine)?.note : undefined;
  const told = note && programIn(note, node, needs);
  if (note === undefined || told === undefined) return undefined;
  const { generation } = note;
  const state = await machine.host.observeBesideNoted(node, needs, generation);
  if (state === undefined) return undefined;
  const sets = told.contents || needs.attachment === undefined ? [] : rangesOf(node, needs.attachment);
  const changes = [
    ...(await differenceBesideNoted(machine, node, needs, state)),
    ...difference(sets, await machine.host.readRanges(sets)),
  ];
  // Meanwhile another call may have changed it.
  return changes.length === 0 && (await machine.host.generation()) === generation ? changes : undefined;
}

/** The sets of a program, with the ranges in them. */
const rangesOf = (node: NodeRecord, attachment: SteeredAttachment): NftSet[] =>
  desiredProgram(node, attachment).flatMap((object) => (object.kind === 'set' ? [object] : []));
