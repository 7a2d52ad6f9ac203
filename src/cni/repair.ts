import { markOf } from '../base/attachment.ts';
import { asEgressError, EgressError } from '../base/errors.ts';
import type { ProgramContent } from '../datapath/attachment.ts';
import { type Change, keyOf } from '../datapath/difference.ts';
import { type Needs, needsOf, needsOfExit, needsOfNode } from '../datapath/needs.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { findDead } from './gc.ts';
import type { Machine } from './machine.ts';
import { differenceNow, settle, setUp, steeredOf } from './set-up.ts';
import { settled } from './settled.ts';

/** Something that could not be made as it should be. */
export interface RepairFailure {
  /** An exit's name, a mark of an attachment, or `gateway`. */
  readonly of: string;
  readonly error: EgressError;
}

/** What was not as the records say. */
export interface Repair {
  /** What was mended, or with a plan would be; nothing when all was right. */
  readonly changes: readonly Change[];
  readonly failures: readonly RepairFailure[];
}

/**
 * Makes the exits of the node, its gateway's side and all its attachments as the records say, as ADD does it for one: what
 * somebody flushed, removed or changed comes back. Each of them alone, so that one that cannot be keeps no other from it.
 * Pods that are gone are left to GC. Needs the store's lock.
 */
export async function repair(machine: Machine): Promise<Repair> {
  const node = machine.store.loadNode();
  const parts = node === undefined ? [] : await partsOf(machine, node);
  return await all(machine, parts, ({ mend }) => mend());
}

/** What {@link repair} would change. Changes nothing; what another call is about to change is waited for. */
export const planRepair = (machine: Machine): Promise<Repair> =>
  settled(
    machine,
    () => planNow(machine),
    ({ changes, failures }) => changes.length + failures.length === 0,
  );

async function planNow(machine: Machine): Promise<Repair> {
  const node = machine.store.loadNode();
  const parts = node === undefined ? [] : await partsOf(machine, node);
  return await all(machine, parts, async ({ needs }) => (node ? await changesFor(machine, node, needs()) : []));
}

/** What of the node's exits is not as its record says, by the exit's name. Changes nothing. */
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
    ...(await livingOf(machine, records)).map((record) => partOf(machine, node, record)),
  ];
}

/** Without those whose interface is gone, and those whose address another one has by now, as the kernel says. */
async function livingOf(machine: Machine, records: readonly AttachmentRecord[]): Promise<AttachmentRecord[]> {
  const dead = new Set((await findDead(machine)).map(markOf));
  const alive = records.filter((record) => !dead.has(markOf(record)));
  const owners = Map.groupBy(
    alive.flatMap((record) => record.addresses.map((address) => ({ address, mark: markOf(record) }))),
    ({ address }) => address,
  );
  const shared = [...owners].filter(([, claims]) => claims.length > 1).map(([address]) => address);
  const elements = shared.length === 0 ? [] : await machine.host.findElements('', shared);
  const holders = new Set(elements.map(({ comment }) => comment));
  return alive.filter(
    (record) => holders.has(markOf(record)) || !record.addresses.some((address) => shared.includes(address)),
  );
}

/** The pod of an attachment. Its program's ranges are read from their record: the kernel may have none any more. */
function partOf(machine: Machine, node: NodeRecord, record: AttachmentRecord): Part {
  const whole = () => wholeProgram(machine, record);
  return {
    of: markOf(record),
    needs: () => needsOf(node, { ...steeredOf(record), ...whole() }),
    mend: () => setUp(machine, node, record, { whole, others: [], thorough: true }),
  };
}

function wholeProgram({ store }: Machine, { program }: AttachmentRecord): ProgramContent {
  const content = store.loadProgram(program);
  if (content !== undefined) return content;
  throw new EgressError('check-failed', `The record of ${program} is missing: what it says is only made by ADD`);
}

async function all(
  { log }: Machine,
  parts: readonly Part[],
  action: (part: Part) => Promise<readonly Change[]>,
): Promise<Repair> {
  const changes = new Map<string, Change>();
  const failures: RepairFailure[] = [];
  for (const part of parts) {
    try {
      for (const change of await action(part)) changes.set(keyOf(change.object), change);
    } catch (error) {
      log.warn({ of: part.of, error: String(error) }, 'could not be repaired');
      failures.push({ of: part.of, error: asEgressError(error) });
    }
  }
  return { changes: [...changes.values()], failures };
}
