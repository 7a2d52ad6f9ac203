import { markOf } from '../base/attachment.ts';
import { asEgressError, EgressError } from '../base/errors.ts';
import { type Change, keyOf } from '../datapath/difference.ts';
import { type Needs, needsOf, needsOfExit, needsOfNode } from '../datapath/needs.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { differenceNow } from './difference-now.ts';
import { hindrances } from './hindrance.ts';
import { listLiving } from './living.ts';
import type { Machine } from './machine.ts';
import { wholeProgram } from './program-content.ts';
import { settle, setUp, steeredOf } from './set-up.ts';
import { settled } from './settled.ts';

/** Something that could not be made as it should be. */
export interface RepairFailure {
  /** An exit's name, a mark of an attachment, or `gateway`. */
  readonly of: string;
  readonly error: EgressError;
}

/** The result of a repair, done or planned. */
export interface Repair {
  /** Empty when all was right. */
  readonly changes: readonly Change[];
  readonly failures: readonly RepairFailure[];
}

/**
 * Makes the exits of the node, its gateway's side and all its attachments as the records say, as ADD does it for one.
 * Flushed, removed and changed objects come back. Each is made alone, so that one that fails stops no other. Pods that
 * are gone are left to GC. Needs the store's lock.
 */
export async function repair(machine: Machine): Promise<Repair> {
  const node = machine.store.loadNode();
  if (node === undefined) return { changes: [], failures: [] };
  return await withHindrances(machine, node, told(machine, await all(machine, await partsOf(machine, node), mended)));
}

const mended = ({ mend }: Part) => mend();

/**
 * The same for the attachments alone. The caller makes the rest of the node as it should be, and afterwards takes down
 * unused objects. Needs the store's lock.
 */
export const repairPods = async (machine: Machine, node: NodeRecord): Promise<Repair> =>
  told(machine, await all(machine, podParts(machine, node, await listLiving(machine)), mended));

/** What {@link repairPods} would change. Changes nothing. */
export const planRepairPods = async (machine: Machine, node: NodeRecord): Promise<Repair> =>
  await all(machine, podParts(machine, node, await listLiving(machine)), ({ needs }) =>
    changesFor(machine, node, needs()),
  );

/** What {@link repair} would change. Changes nothing. Waits for a call that is changing something. */
export const planRepair = (machine: Machine): Promise<Repair> =>
  settled(
    machine,
    () => lookAtRecorded(machine),
    ({ changes, failures }) => changes.length + failures.length === 0,
  );

/** The changes of {@link repair}, by one look: another call may be at work. */
export async function lookAtRecorded(machine: Machine): Promise<Repair> {
  const node = machine.store.loadNode();
  if (node === undefined) return { changes: [], failures: [] };
  return await all(machine, await partsOf(machine, node), ({ needs }) => changesFor(machine, node, needs()));
}

/** What keeps an exit from working though all of ours is there again is not ours to mend: as CHECK, so `repair` tells it. */
async function withHindrances({ host }: Machine, node: NodeRecord, done: Repair): Promise<Repair> {
  const failures = [...done.failures];
  for (const exit of node.exits) {
    const found = await hindrances(host, [exit], []);
    failures.push(...found.map((why) => ({ of: exit.name, error: new EgressError('exit-interface', why) })));
  }
  return { ...done, failures };
}

/** The faults of the node's exits against their record, by the exit's name. Changes nothing. */
export async function exitProblems(
  machine: Machine,
  node: NodeRecord,
): Promise<ReadonlyMap<string, readonly Change[]>> {
  const problems = new Map<string, readonly Change[]>();
  for (const exit of node.exits) {
    const changes = await changesFor(machine, node, needsOfExit(node, exit, []));
    if (changes.length > 0) problems.set(exit.name, changes);
  }
  return problems;
}

async function changesFor(machine: Machine, node: NodeRecord, needs: Needs): Promise<readonly Change[]> {
  const { state } = await machine.host.observe(node, needs, { contents: true });
  return await differenceNow(machine, node, needs, state);
}

/** One of the things that are mended alone. */
interface Part {
  readonly of: string;
  needs(): Needs;
  mend(): Promise<readonly Change[]>;
  /** The parts to try when the whole fails. */
  readonly each?: readonly Part[];
}

async function partsOf(machine: Machine, node: NodeRecord): Promise<Part[]> {
  const records = machine.store.list();
  const ofNode = (of: string, needs: () => Needs): Part => ({
    of,
    needs,
    mend: () => settle(machine, node, needs(), true),
  });
  const steered = records.map(steeredOf);
  return [
    ...node.exits.map((exit) => ofNode(exit.name, () => needsOfExit(node, exit, steered))),
    ...(node.gateway ? [ofNode('gateway', () => needsOfNode(node, steered))] : []),
    ...podParts(machine, node, await listLiving(machine)),
  ];
}

/** All pods of a program in one step, so that none waits for the others: many are one look and one transaction. */
const podParts = (machine: Machine, node: NodeRecord, records: readonly AttachmentRecord[]): Part[] =>
  [...Map.groupBy(records, ({ program }) => program).values()].flatMap(([first, ...fellows]) => {
    if (first === undefined) return [];
    if (fellows.length === 0) return [partOf(machine, node, first)];
    const each = [first, ...fellows].map((record) => partOf(machine, node, record));
    return [{ ...partOf(machine, node, first, fellows), each }];
  });

/** The pod of an attachment. Its program's ranges are read from their record: the kernel may have none any more. */
function partOf(
  machine: Machine,
  node: NodeRecord,
  record: AttachmentRecord,
  fellows: readonly AttachmentRecord[] = [],
): Part {
  const whole = () => wholeProgram(machine, record);
  return {
    of: markOf(record),
    needs: () => needsOf(node, { ...steeredOf(record), ...whole() }, [], fellows.map(steeredOf)),
    mend: () => setUp(machine, node, record, { whole, fellows, thorough: true }),
  };
}

/** Tries each part alone, and the parts of a failed part alone. */
async function all(
  machine: Machine,
  parts: readonly Part[],
  action: (part: Part) => Promise<readonly Change[]>,
): Promise<Repair> {
  const changes = new Map<string, Change>();
  const failures: RepairFailure[] = [];
  const add = (more: readonly Change[]) => {
    for (const change of more) changes.set(keyOf(change.object), change);
  };
  for (const [done, part] of parts.entries()) {
    if ((await machine.onward?.({ what: part.of, done, of: parts.length })) === false) break;
    try {
      add(await action(part));
    } catch (error) {
      const alone = { changes: [], failures: [{ of: part.of, error: asEgressError(error) }] };
      const one = part.each ? await all(machine, part.each, action) : alone;
      add(one.changes);
      failures.push(...one.failures);
    }
  }
  return { changes: [...changes.values()], failures };
}

/** Logs what could not be mended. A look alone logs nothing: without the lock it may see the half of a DEL. */
function told({ log }: Machine, done: Repair): Repair {
  for (const { of, error } of done.failures) log.warn({ of, error: String(error) }, 'could not be repaired');
  return done;
}
