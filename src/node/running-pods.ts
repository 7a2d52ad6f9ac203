import { markOf } from '../base/attachment.ts';
import { isEqual } from '../base/canonical.ts';
import { EgressError } from '../base/errors.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import type { Change } from '../datapath/difference.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import type { AddRequest } from './add.ts';
import {
  type ChangedPod,
  changedPod,
  cut,
  cutAndFindLate,
  decidersOf,
  lookAtConnections,
  type RunningPod,
} from './changed-pod.ts';
import { heldAmong, type MovedConnection } from './hold.ts';
import { leavePrevious, mayLeave } from './leave-previous.ts';
import type { Machine } from './machine.ts';
import { type Ahead, lookAhead, type SetUp, setUp } from './set-up.ts';

/** All of a program. */
export type WholeProgram = Required<ProgramContent>;

/** An attachment that a call sets up, and what was decided about it. */
export interface Member {
  readonly request: AddRequest;
  readonly previous: AttachmentRecord | undefined;
  readonly record: AttachmentRecord;
  /** Of a pod that runs. */
  readonly running?: RunningPod;
}

/** Connections as they were before the lock was taken, and the records that they were judged by. */
export interface EarlyLook {
  readonly known: NodeRecord;
  /** By the marks of attachments. */
  readonly pods: ReadonlyMap<string, Seen>;
}

interface Seen {
  readonly previous: AttachmentRecord | undefined;
  readonly moved: readonly MovedConnection[];
}

/** Connections that move in a change of several pods: each takes its time (0.02 ms), and all of them the store's lock. */
const mostMoved = 2048;

/**
 * Looks at the connections of pods that run without the store's lock: a listing of conntrack takes 10 ms of a processor for each
 * family, however few there are. `undefined` where there is nothing to look at yet, or a pod is new.
 *
 * @param isAgain the caller's records are not those of now
 */
export async function lookEarly(
  machine: Machine,
  drafts: readonly { readonly request: AddRequest; readonly draft: AttachmentRecord }[],
  whole: () => WholeProgram,
  isAgain = false,
): Promise<EarlyLook | undefined> {
  const { store } = machine;
  const known = store.loadNode();
  if (known === undefined || !drafts.every(({ request }) => request.isRunning)) return undefined;
  const pods = drafts.map(({ request, draft }) => ({
    record: draft,
    previous: (isAgain ? undefined : request.known) ?? store.load(request.attachment),
  }));
  const moved = await lookAtConnections(machine, changedPods(machine, known, pods, whole));
  const seen = pods.map(({ record, previous }, i) => [markOf(record), { previous, moved: moved[i] ?? [] }] as const);
  return { known, pods: new Map(seen) };
}

const changedPods = (
  machine: Machine,
  node: NodeRecord,
  pods: readonly Pick<Member, 'record' | 'previous'>[],
  whole: () => WholeProgram,
): readonly ChangedPod[] => {
  const before = decidersOf(machine, node);
  return pods.map(({ previous, record }) => changedPod(node, before(previous), { next: record, after: whole() }));
};

/**
 * With the connections of pods that run: those of the early look, while the records are the same; what began since then is late.
 * Throws `try-again` where they are too many for several pods together.
 */
export async function withConnections(
  machine: Machine,
  { known, node }: { readonly known: NodeRecord | undefined; readonly node: NodeRecord },
  members: readonly Member[],
  { whole, early }: { readonly whole: () => WholeProgram; readonly early: EarlyLook | undefined },
): Promise<readonly Member[]> {
  if (!members.every(({ request }) => request.isRunning)) return members;
  const pods = changedPods(machine, node, members, whole);
  const moved = movedBy(early, known, members) ?? (await lookAtConnections(machine, pods));
  if (members.length > 1 && moved.flat().length > mostMoved)
    throw new EgressError('try-again', 'too many connections for one change');
  return members.map(({ record, ...member }, i): Member => {
    const running = { pod: pods[i] as ChangedPod, moved: moved[i] ?? [] };
    const holds = heldAmong(running.moved).length > 0 || member.previous?.holds === true;
    return { ...member, record: { ...record, ...(holds && { holds }) }, running };
  });
}

/** What the early look saw of the members; `undefined` when it went by other records. */
function movedBy(
  early: EarlyLook | undefined,
  known: NodeRecord | undefined,
  members: readonly Member[],
): readonly (readonly MovedConnection[])[] | undefined {
  if (early === undefined || !isEqual(early.known, known)) return undefined;
  const seen = members.flatMap(({ previous, record }) => {
    const one = early.pods.get(markOf(record));
    return one !== undefined && isEqual(one.previous, previous) ? [one.moved] : [];
  });
  return seen.length === members.length ? seen : undefined;
}

export type Together = Omit<SetUp, 'fellows' | 'held'>;

/** Sets members up, the first of them with all others as its fellows. Returns what was changed. */
export async function setUpMembers(
  machine: Machine,
  node: NodeRecord,
  members: readonly Pick<Member, 'record' | 'running'>[],
  more: Together,
): Promise<readonly Change[]> {
  const [first] = members;
  return first === undefined ? [] : await setUp(machine, node, first.record, { ...more, ...withFellows(members) });
}

/** {@link lookAhead} for the same. */
export const lookAheadOf = (
  machine: Machine,
  node: NodeRecord,
  members: readonly [Member, ...Member[]],
  more: Together,
): Promise<Ahead> => lookAhead(machine, node, members[0].record, { ...more, ...withFellows(members) });

function withFellows(members: readonly Pick<Member, 'record' | 'running'>[]): Pick<SetUp, 'fellows' | 'held'> {
  const held = new Map(members.map(({ record, running }) => [markOf(record), heldAmong(running?.moved ?? [])]));
  const isRunning = members.some(({ running }) => running !== undefined);
  return { fellows: members.slice(1).map(({ record }) => record), ...(isRunning && { held }) };
}

/** Pods that run, and were changed: those with a program, and those without a policy, of which nothing is there any more. */
export interface ChangedPods {
  readonly members: readonly Member[];
  readonly left: readonly Member[];
}

/**
 * What comes behind the change of running pods, for which nobody has to wait: forgets connections that are cut, holds those that
 * began between the look and the change, and takes down what only earlier programs needed. Takes the store's lock where something
 * is to be changed, for pods that are still as they were left.
 */
export async function finishChange(
  machine: Machine,
  { members, left }: ChangedPods,
  whole: () => WholeProgram,
): Promise<void> {
  const running = runningOf(members);
  if (members.length + left.length === 0) return;
  const late = await cutAndFindLate(machine, [...running, ...runningOf(left)]);
  const [ofMembers, ofOthers] = [late.slice(0, running.length), late.slice(running.length)];
  const moved = ofMembers.flatMap((pod) => pod.moved);
  await cut(machine, [...moved, ...ofOthers.flatMap((pod) => pod.moved).map(notHeld)]);
  const holding = members.flatMap((member, i) => {
    const found = ofMembers[i];
    return found === undefined || heldAmong(found.moved).length === 0 ? [] : [{ ...member, running: found }];
  });
  if (holding.length === 0 && !(await mayLeave(machine, members))) return;
  try {
    using _lock = await machine.store.lock();
    const node = machine.store.loadNode();
    if (node === undefined) return;
    await holdLate(machine, node, holding.filter(isStill(machine)), whole);
    await leavePrevious(machine, node, members.filter(isStill(machine)));
  } catch (error) {
    await cut(machine, moved.map(notHeld)); // nothing would hold them: their packets would be dropped
    throw error;
  }
}

const runningOf = (members: readonly Member[]): RunningPod[] => members.flatMap(({ running }) => running ?? []);

const notHeld = (connection: MovedConnection): MovedConnection => ({ ...connection, isHeld: false });

/** Whether nobody has changed the attachment since. */
const isStill =
  ({ store }: Machine) =>
  ({ record }: Member): boolean => {
    const { holds: _, ...now } = store.load(record) ?? {};
    const { holds: __, ...left } = record;
    return isEqual(now, left);
  };

async function holdLate(
  machine: Machine,
  node: NodeRecord,
  holding: readonly Member[],
  whole: () => WholeProgram,
): Promise<void> {
  if (holding.length === 0) return;
  const members = holding.map((member) => ({ ...member, record: { ...member.record, holds: true } as const }));
  machine.store.saveAll(members.map(({ record }) => record));
  await setUpMembers(machine, node, members, { whole, thorough: false });
}
