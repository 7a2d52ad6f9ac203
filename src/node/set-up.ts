import type { Address } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import { EgressError } from '../base/errors.ts';
import type { ProgramContent, SteeredAttachment } from '../datapath/attachment.ts';
import type { Place } from '../datapath/behind.ts';
import type { Change } from '../datapath/difference.ts';
import type { HeldConnection } from '../datapath/held.ts';
import { isKeeping } from '../datapath/kept.ts';
import { describeType, sameType } from '../datapath/kinds/set.ts';
import { addressHex } from '../datapath/layout.ts';
import { type Needs, needsOf } from '../datapath/needs.ts';
import { isNotable } from '../datapath/noted.ts';
import { type HostObject, kindOf } from '../datapath/objects.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { change, type Decision, isMarking } from './change.ts';
import { differenceNow } from './difference-now.ts';
import { forgetFlowsOf } from './flows.ts';
import { keepingChanges, overwrittenBy } from './kept.ts';
import type { Machine } from './machine.ts';
import { type Notes, noteSetUp, readNotes } from './note.ts';
import { setUpBesideNoted } from './set-up-beside-noted.ts';

/** What an attachment's record says to the data path, with the outline of its program. */
export const steeredOf = (record: AttachmentRecord): SteeredAttachment => ({
  ...record,
  mark: markOf(record),
  matches: record.outline,
});

/** How an attachment is set up, and who with it: see {@link setUp}. */
export interface SetUp {
  readonly whole: () => ProgramContent;
  readonly others?: readonly AttachmentRecord[];
  readonly fellows?: readonly AttachmentRecord[];
  readonly thorough: boolean;
  /** It was set up before, and what only that needs is still there: of such a state there is no note. */
  readonly isRepeated?: boolean;
  /** The pods run: their connections go on, and of these some stay with another exit than their program's, by the pods' marks. */
  readonly held?: ReadonlyMap<string, readonly HeldConnection[]>;
  /** Connections that whoever had the addresses before left behind are left to the caller: see {@link forgetOthersFlows}. */
  readonly leavesFlows?: true;
  /** What {@link lookAhead} found for the same. */
  readonly ahead?: Ahead;
}

/** What was seen and decided before the store's lock was taken: it holds in that generation of the ruleset alone. */
export interface Ahead {
  readonly seen: readonly HostObject[];
  readonly changes: readonly Change[];
  readonly generation: number;
}

/**
 * Sets up what the attachment needs. `thorough` also compares the ranges of its program, which a new attachment may trust
 * because the program's name is made from them: `whole` reads them where they are needed. The ports of `others` follow
 * the exits, too. `fellows` have the same program, and are set up in the same step. Returns what was changed. Needs the
 * store's lock, and all records in the store.
 */
export async function setUp(
  machine: Machine,
  node: NodeRecord,
  record: AttachmentRecord,
  options: SetUp,
): Promise<readonly Change[]> {
  const { fellows = [], thorough, isRepeated = false, held, leavesFlows, ahead } = options;
  const needs = needsFor(node, record, options);
  const notes = held || isRepeated || !isNotable(needs) ? undefined : readNotes(machine);
  const changes =
    (thorough || !notes?.note ? undefined : await setUpBesideNoted(machine, node, needs, notes.note)) ??
    (await settleAndNote(machine, node, needs, { thorough, notes, ahead }));
  if (!held && !leavesFlows) await forgetOthersFlows(machine, [record, ...fellows], changes);
  return changes;
}

function needsFor(
  node: NodeRecord,
  record: AttachmentRecord,
  { whole, others = [], fellows = [], thorough, held }: SetUp,
): Needs {
  const steered = (one: AttachmentRecord) => ({
    ...steeredOf(one),
    ...(held && { held: held.get(markOf(one)) ?? [] }),
  });
  const attachment = { ...steered(record), ...(thorough ? whole() : { whole }) };
  return needsOf(node, attachment, others.map(steeredOf), fellows.map(steered));
}

/** Looks and decides for a {@link setUp} that shall keep the store's lock for a short time. Changes nothing. */
export async function lookAhead(
  machine: Machine,
  { unmarked: _, ...node }: NodeRecord,
  record: AttachmentRecord,
  options: SetUp,
): Promise<Ahead> {
  const needs = needsFor(node, record, options);
  const { state, generation } = await machine.host.observe(node, needs, { contents: options.thorough });
  return { seen: state, changes: await differenceNow(machine, node, needs, state), generation };
}

async function settleAndNote(
  machine: Machine,
  node: NodeRecord,
  needs: Needs,
  { thorough, notes, ahead }: { thorough: boolean; notes: Notes | undefined; ahead: Ahead | undefined },
): Promise<readonly Change[]> {
  const { changes, last } = await settleAll(machine, node, needs, { contents: thorough, ahead });
  if (last.isWhole && notes) await noteSetUp(machine, node, needs, notes, { ...last, contents: thorough });
  return changes;
}

/** Makes what is needed as it should be; returns what that changed. Needs the store's lock, and the node in the store. */
export async function settle(
  machine: Machine,
  node: NodeRecord,
  needs: Needs,
  contents: boolean,
): Promise<readonly Change[]> {
  return (await settleAll(machine, node, needs, { contents })).changes;
}

/** The changes, and the last decision for them. */
interface Settled {
  readonly changes: readonly Change[];
  /** `isWhole`: all of its changes could be made. */
  readonly last: Decision<readonly HostObject[]> & { readonly isWhole: boolean };
}

/** How all is made as it should be. */
interface Settling {
  readonly contents: boolean;
  readonly ahead?: Ahead | undefined;
}

async function settleAll(machine: Machine, node: NodeRecord, needs: Needs, settling: Settling): Promise<Settled> {
  const { changes, last } = await settleMarks(machine, node, needs, settling);
  // What was on a device goes with it when it is made anew, and was still there when we looked.
  const remade = changes.some(({ verb, object }) => verb === 'replace' && object.kind === 'tunnel');
  if (!remade) return { changes, last };
  const again = await settleOnce(machine, node, needs, { contents: settling.contents });
  return { changes: [...changes, ...again.changes], last: again.last };
}

/** Marks at interfaces are tried each time: where the kernel refused them, it may take them now. */
async function settleMarks(
  machine: Machine,
  { unmarked, ...node }: NodeRecord,
  needs: Needs,
  settling: Settling,
): Promise<Settled> {
  const settled = await settleOnce(machine, node, needs, settling);
  if (unmarked && settled.changes.some(isMarking)) forgetUnmarked(machine);
  return settled;
}

function forgetUnmarked({ store }: Machine): void {
  const known = store.loadNode();
  if (known === undefined) return;
  const { unmarked: _, ...node } = known;
  store.saveNode(node);
}

async function settleOnce(
  machine: Machine,
  node: NodeRecord,
  needs: Needs,
  { contents, ahead }: Settling,
): Promise<Settled> {
  let first = ahead && { state: ahead.seen, generation: ahead.generation };
  const look = async () => {
    const seen = first ?? (await machine.host.observe(node, needs, { contents }));
    first = undefined; // somebody else changed the ruleset meanwhile
    return seen;
  };
  const overwritten: Record<string, string> = {}; // also by an attempt that somebody else's change cut short
  let isWhole = true;
  const last = await change(machine, look, async (observed) => {
    const isAhead = ahead !== undefined && observed === ahead.seen;
    const different = isAhead ? ahead.changes : await differenceNow(machine, node, needs, observed);
    requireOurTypes(different);
    const changes = await attainable(machine, needs, different);
    isWhole = changes.length === different.length;
    const values = overwrittenBy(machine, changes);
    remember(machine, node, changes, values);
    return [...changes, ...(await keepingChanges(machine, Object.assign(overwritten, values), changes))];
  });
  forgetAddresses(machine, last.changes);
  return { changes: last.changes.filter((change) => !isKeeping(change)), last: { ...last, isWhole } };
}

/** Throws `name-taken` for sets that cannot become ours: the kernel changes no type, and rules may look into them. */
function requireOurTypes(changes: readonly Change[]): void {
  const others = changes.flatMap((change) => {
    if (change.verb !== 'replace' || change.object.kind !== 'set' || change.observed.kind !== 'set') return [];
    return sameType(change.object, change.observed) ? [] : [describeType(change.object, change.observed)];
  });
  if (others.length > 0) throw new EgressError('name-taken', others.join('; '));
}

/**
 * Without what leads to interfaces that are missing or down: no kernel takes it, and it would keep all else from being set up,
 * that of other exits, too. What is for the exit meets the route behind it, or leaves as the exit says.
 */
export async function attainable(
  { host }: Pick<Machine, 'host'>,
  { exits }: Pick<Needs, 'exits'>,
  changes: readonly Change[],
): Promise<Change[]> {
  const unavailable = new Set<string>();
  for (const { device } of exits.filter(({ gateway }) => gateway === undefined)) {
    if ((await host.readLink(device))?.up !== true) unavailable.add(device);
  }
  const deviceOf = ({ object }: Change) => kindOf(object).needsUp(object);
  return changes.filter((change) => change.verb === 'remove' || !unavailable.has(deviceOf(change) || ''));
}

/**
 * Values of the administrator's go into the node's record before we overwrite them, and addresses before we give them to
 * an interface. What is on the tunnel's device needs no remembering: it goes with it.
 */
function remember(
  { store }: Machine,
  given: NodeRecord,
  changes: readonly Change[],
  values: NodeRecord['sysctls'],
): void {
  const node = store.loadNode() ?? given;
  const objects = changes.filter(({ verb }) => verb !== 'remove').map(({ object }) => object);
  const isKnown = (device: string, address: Address) =>
    node.addresses.some((known) => known.device === device && known.address === address);
  const addresses = objects
    .flatMap((object) => (object.kind === 'address' ? [{ device: object.device, address: object.address }] : []))
    .filter(({ device, address }) => device !== tunnelDevice && !isKnown(device, address));
  const behind = objects.flatMap((object) =>
    object.kind === 'behind' ? [{ device: object.device, address: object.address }] : [],
  );
  if (Object.keys(values).length + addresses.length + behind.length === 0) return;
  store.saveNode({
    ...node,
    sysctls: { ...node.sysctls, ...values },
    addresses: [...node.addresses, ...addresses],
    ...(behind.length > 0 && { behind: withPlaces(node.behind, behind) }),
  });
}

function withPlaces(known: readonly Place[] = [], more: readonly Place[]): readonly Place[] {
  const isKnown = (place: Place) =>
    known.some(({ device, address }) => device === place.device && address === place.address);
  return [...known, ...more.filter((place) => !isKnown(place))];
}

/** Addresses that are not on interfaces any more. */
function forgetAddresses({ store }: Machine, changes: readonly Change[]): void {
  const gone = changes.flatMap(({ verb, object }) => (verb === 'remove' && object.kind === 'address' ? [object] : []));
  const node = gone.length > 0 ? store.loadNode() : undefined;
  if (node === undefined) return;
  const isGone = ({ device, address }: NodeRecord['addresses'][number]) =>
    gone.some((object) => object.device === device && object.address === address);
  store.saveNode({ ...node, addresses: node.addresses.filter((known) => !isGone(known)) });
}

/** Connections that whoever had the addresses before left behind; those of the attachments themselves go on. */
export async function forgetOthersFlows(
  machine: Machine,
  records: readonly AttachmentRecord[],
  changes: readonly Change[],
) {
  const written = new Set(changes.flatMap(({ object }) => (object.kind === 'element' ? [object.key] : [])));
  const addresses = records.flatMap((record) => record.addresses);
  await forgetFlowsOf(
    machine,
    addresses.filter((address) => written.has(addressHex(address))),
  );
}
