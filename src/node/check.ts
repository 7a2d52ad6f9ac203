import { type Attachment, markOf } from '../base/attachment.ts';
import { EgressError } from '../base/errors.ts';
import { describe } from '../datapath/describe.ts';
import { needsOf } from '../datapath/needs.ts';
import { type Hindrance, hindranceText } from '../datapath/passage.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { findHindrances, inputOf, sendersOf } from './hindrance.ts';
import type { Machine } from './machine.ts';
import { otherWays, podUsers } from './other-ways.ts';
import { differenceNow, steeredOf } from './set-up.ts';
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
  const { state } = await machine.host.observe(node, needs, { contents: content !== undefined });
  const senders = await sendersOf(machine.host, record.addresses);
  const objects = (await differenceNow(machine, node, needs, state)).flatMap(describe);
  return {
    objects: content === undefined ? [`The record of ${record.program} is missing`, ...objects] : objects,
    hindrances: await findHindrances(machine.host, needs.exits, senders.map(inputOf)),
    ways: await otherWays(machine.host, node, needs.exits, podUsers(steered, node, senders)),
  };
}
