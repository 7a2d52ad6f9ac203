import { type Address, families } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import { EgressError } from '../base/errors.ts';
import type { ProgramContent, SteeredAttachment } from '../datapath/attachment.ts';
import { type Place, placesOf } from '../datapath/behind.ts';
import { countedTogether } from '../datapath/counting.ts';
import { desired } from '../datapath/desired.ts';
import { type Change, difference, keyOf } from '../datapath/difference.ts';
import { needsEgressHook, withoutEgressHook } from '../datapath/egress-counters.ts';
import type { HeldConnection } from '../datapath/held.ts';
import { isKeeping } from '../datapath/kept.ts';
import { describeType, sameType } from '../datapath/kinds/set.ts';
import { addressHex, setNames } from '../datapath/layout.ts';
import { type Needs, needsOf } from '../datapath/needs.ts';
import { type Behind, type HostObject, kindOf, type Sysctl } from '../datapath/objects.ts';
import { needsLabels, withoutLabels } from '../datapath/remembered.ts';
import { carrierNames, looseReversePath, parameterValue, reversePathName } from '../datapath/reverse-path.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { Element } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { change, isMarking } from './change.ts';
import { forgetFlowsOf } from './flows.ts';
import { keepingChanges, overwrittenBy } from './kept.ts';
import type { Machine } from './machine.ts';
import { wayBackOf } from './way-back.ts';

/** What an attachment's record says to the data path, with the outline of its program. */
export const steeredOf = (record: AttachmentRecord): SteeredAttachment => ({
  ...record,
  mark: markOf(record),
  matches: record.outline,
});

/** What is missing, different or too much of all that is needed. */
export async function differenceNow(
  { host }: Machine,
  node: NodeRecord,
  needs: Needs,
  observed: readonly HostObject[],
): Promise<Change[]> {
  const behind = await othersBehind(host, needs);
  const wanted = [
    ...parametersOf(host, needs),
    ...behind,
    ...(await possible(host, desiredNow(node, needs, observed), observed)),
    ...(await wayBackOf(host, node, needs)), // behind the table that its chains are in
  ];
  const known = new Set(wanted.map(keyOf));
  const missing = await missingElements(host, observed);
  wanted.push(...missing.filter((element) => !known.has(keyOf(element))));
  const sysctls = wanted.flatMap((object) => (object.kind === 'sysctl' ? observedSysctl(host, object) : []));
  return markable(node, countedTogether(difference(wanted, [...sysctls, ...observed]), wanted));
}

/** A mark that the kernel refused is no difference. */
const markable = ({ unmarked }: NodeRecord, changes: Change[]): Change[] =>
  unmarked ? changes.filter((change) => !isMarking(change)) : changes;

/**
 * Pods of a version that did not know the guard's own maps and sets get their elements there, before rules ask for them:
 * with those of the pods' maps, as the kernel has them.
 */
async function missingElements(host: Machine['host'], observed: readonly HostObject[]): Promise<Element[]> {
  const hasSet = (name: string) => observed.some((object) => object.kind === 'set' && object.name === name);
  const old = families.flatMap((family) => {
    const [pods, programs, steered] = [setNames.pods(family), setNames.programs(family), setNames.steered(family)];
    return hasSet(pods)
      ? [programs, steered].filter((set) => !hasSet(set)).map((set) => ({ pods, programs, set }))
      : [];
  });
  const elements = old.length > 0 ? await host.findElements('') : [];
  return old.flatMap(({ pods, programs, set }) =>
    elements
      .filter((element) => element.set === pods)
      .map(({ verdict, ...element }) => ({ ...element, set, ...(set === programs && verdict && { verdict }) })),
  );
}

/** With all ranges of an outlined program, if one of its sets has to be written; else their names say what is in them. */
function desiredNow(node: NodeRecord, needs: Needs, observed: readonly HostObject[]): HostObject[] {
  const [wanted, { attachment }] = [desired(node, needs), needs];
  if (attachment?.whole === undefined) return wanted;
  const isOwn = (object: HostObject) => object.kind === 'set' && object.name.startsWith(`${attachment.program}-`);
  const changes = difference(wanted.filter(isOwn), observed.filter(isOwn));
  return changes.length === 0
    ? wanted
    : desired(node, { ...needs, attachment: { ...attachment, ...attachment.whole() } });
}

/** Parameters of the interfaces that exits leave by; the tunnel's are part of the tunnel. */
function parametersOf(host: Machine['host'], { exits }: Needs): Sysctl[] {
  const all = host.readSysctl(reversePathName('all'));
  const local = exits.filter(({ device }) => device !== tunnelDevice);
  const filters = [...new Set(local.map(({ device }) => device))].flatMap(
    (device) => looseReversePath(device, all, host.readSysctl(reversePathName(device))) ?? [],
  );
  const names = new Set(local.flatMap(carrierNames).filter((name) => host.readSysctl(name) !== undefined));
  return [...filters, ...[...names].map((name): Sysctl => ({ kind: 'sysctl', name, value: parameterValue(name) }))];
}

/** Addresses that the kernel finds on interfaces of others, and not on that of their exit. */
async function othersBehind(host: Machine['host'], { exits }: Needs): Promise<Behind[]> {
  const behind: Behind[] = [];
  for (const { device, address } of placesOf(exits)) {
    const holder = await host.firstHolder(address);
    if (holder === undefined || holder.behind || holder.device === device) continue;
    behind.push({ kind: 'behind', device: holder.device, address });
  }
  return behind;
}

function observedSysctl(host: Machine['host'], sysctl: Sysctl): Sysctl[] {
  const value = host.readSysctl(sysctl.name);
  return value === undefined ? [] : [{ ...sysctl, value }];
}

/** What the kernel can have of what is desired. It is asked only while nothing that is there tells. */
async function possible(
  host: Machine['host'],
  wanted: readonly HostObject[],
  observed: readonly HostObject[],
): Promise<readonly HostObject[]> {
  const isUnknown = (needs: (object: HostObject) => boolean) => wanted.some(needs) && !observed.some(needs);
  const counted = isUnknown(needsEgressHook) && !(await host.hasEgressHook()) ? withoutEgressHook(wanted) : wanted;
  return isUnknown(needsLabels) && !(await host.hasLabels()) ? withoutLabels(counted) : counted;
}

/** How an attachment is set up, and who with it: see {@link setUp}. */
interface SetUp {
  readonly whole: () => ProgramContent;
  readonly others?: readonly AttachmentRecord[];
  readonly fellows?: readonly AttachmentRecord[];
  readonly thorough: boolean;
  /** The pods run: their connections go on, and of these some stay with another exit than their program's, by the pods' marks. */
  readonly held?: ReadonlyMap<string, readonly HeldConnection[]>;
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
  { whole, others = [], fellows = [], thorough, held }: SetUp,
): Promise<readonly Change[]> {
  const steered = (one: AttachmentRecord) => ({
    ...steeredOf(one),
    ...(held && { held: held.get(markOf(one)) ?? [] }),
  });
  const attachment = { ...steered(record), ...(thorough ? whole() : { whole }) };
  const needs = needsOf(node, attachment, others.map(steeredOf), fellows.map(steered));
  const changes = await settle(machine, node, needs, thorough);
  if (!held) await forgetOthersFlows(machine, [record, ...fellows], changes);
  return changes;
}

/** Makes what is needed as it should be; returns what that changed. Needs the store's lock, and the node in the store. */
export async function settle(
  machine: Machine,
  node: NodeRecord,
  needs: Needs,
  contents: boolean,
): Promise<readonly Change[]> {
  const changes = await settleMarks(machine, node, needs, contents);
  // What was on a device goes with it when it is made anew, and was still there when we looked.
  const remade = changes.some(({ verb, object }) => verb === 'replace' && object.kind === 'tunnel');
  return remade ? [...changes, ...(await settleOnce(machine, node, needs, contents))] : changes;
}

/** Marks at interfaces are tried each time: where the kernel refused them, it may take them now. */
async function settleMarks(
  machine: Machine,
  { unmarked, ...node }: NodeRecord,
  needs: Needs,
  contents: boolean,
): Promise<readonly Change[]> {
  const changes = await settleOnce(machine, node, needs, contents);
  if (unmarked && changes.some(isMarking)) forgetUnmarked(machine);
  return changes;
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
  contents: boolean,
): Promise<readonly Change[]> {
  const overwritten: Record<string, string> = {}; // also by an attempt that somebody else's change cut short
  const { changes } = await change(
    machine,
    () => machine.host.observe(node, needs, { contents }),
    async (observed) => {
      const different = await differenceNow(machine, node, needs, observed);
      requireOurTypes(different);
      const changes = await attainable(machine, needs, different);
      const values = overwrittenBy(machine, changes);
      remember(machine, node, changes, values);
      return [...changes, ...(await keepingChanges(machine, Object.assign(overwritten, values), changes))];
    },
  );
  forgetAddresses(machine, changes);
  return changes.filter((change) => !isKeeping(change));
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
async function forgetOthersFlows(machine: Machine, records: readonly AttachmentRecord[], changes: readonly Change[]) {
  const written = new Set(changes.flatMap(({ object }) => (object.kind === 'element' ? [object.key] : [])));
  const addresses = records.flatMap((record) => record.addresses);
  await forgetFlowsOf(
    machine,
    addresses.filter((address) => written.has(addressHex(address))),
  );
}
