import type { Address } from '../base/address.ts';
import { type Attachment, markOf } from '../base/attachment.ts';
import { canonicalJson } from '../base/canonical.ts';
import { isSystemError } from '../base/errors.ts';
import { heirOf } from '../datapath/answers.ts';
import type { Place } from '../datapath/behind.ts';
import { type Change, difference } from '../datapath/difference.ts';
import { desiredLook } from '../datapath/guard.ts';
import type { Observed } from '../datapath/host.ts';
import { addressHex, chainNames, exitIdOfChain, exitIdOfKey, setNames } from '../datapath/layout.ts';
import type { HostObject, IngressMark } from '../datapath/objects.ts';
import { type OurState, released } from '../datapath/release.ts';
import { parameterNames, parameterValue } from '../datapath/reverse-path.ts';
import { describeOther } from '../datapath/routing-words.ts';
import { ownerOfSourceChain } from '../datapath/sources.ts';
import { ingressMarks } from '../datapath/unjudged.ts';
import { type Chain, type Element, familyOfTable, type Table } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { change } from './change.ts';
import { listLiving } from './living.ts';
import type { Machine } from './machine.ts';

interface TearDown {
  readonly addresses?: readonly Address[];
  readonly hostInterfaces?: readonly string[];
  readonly keepLinks?: true;
  /** The pod goes on without a policy, and its connections with it. */
  readonly keepFlows?: true;
}

/**
 * Takes down what the attachment alone needs: by its record, and without one by its marks in the kernel, looked for at
 * `addresses` if some are given. Forgets the record last, so that a call that was killed is finished by the next. Needs
 * the store's lock.
 */
export async function tearDown(machine: Machine, attachment: Attachment, options: TearDown = {}): Promise<void> {
  const record = machine.store.load(attachment);
  const addresses = record?.addresses ?? options.addresses;
  await takeDown(machine, [attachment], record ? [record] : [], { ...options, ...(addresses && { at: addresses }) });
}

/**
 * The same for attachments of which nobody is there any more: the changes of {@link planRelease}, in one transaction
 * however many they are. Needs the store's lock.
 */
export async function tearDownAll(machine: Machine, attachments: readonly Attachment[]): Promise<void> {
  const records = attachments.flatMap((attachment) => machine.store.load(attachment) ?? []);
  await takeDown(machine, attachments, records, {});
}

/** @param options.at where elements are looked for; everywhere when it is absent */
async function takeDown(
  machine: Machine,
  attachments: readonly Attachment[],
  records: readonly AttachmentRecord[],
  { at, addresses: hints = [], hostInterfaces, keepLinks, keepFlows }: TearDown & { readonly at?: readonly Address[] },
): Promise<void> {
  const { host, store } = machine;
  // A pod that is still running must not go on by the node's way while its own is taken down.
  for (const record of keepLinks ? [] : records) await host.setDown(await linksOf(host, record, hostInterfaces));
  const marks = new Set(attachments.map(markOf));
  const own = new Set((await findMarked(machine, marks, at)).map(({ key }) => key));
  const { isLost } = await releaseMarks(machine, marks, at, keepLinks ? records.flatMap(devicesOf) : []);
  for (const record of isLost && !keepLinks ? records : []) tellOfParameters(machine, record);
  const known = at ?? records.flatMap(({ addresses }) => addresses);
  const isOurs = (address: Address) => own.has(addressHex(address)) || hints.includes(address);
  await forgetFlows(machine, keepFlows ? [] : known.filter(isOurs));
  for (const attachment of attachments) forgetting(machine, () => store.forget(attachment));
}

/** Interfaces that mark what comes in by them: they go with their pod, unless it runs on. */
const devicesOf = ({ sources }: AttachmentRecord): readonly string[] => sources?.devices ?? [];

/**
 * Removes all that carries one of the marks, at `addresses` if some are given, and all that nobody needs without it, at once.
 *
 * @param devices interfaces of pods that run on, which mark nothing any more
 */
export const releaseMarks = (
  machine: Machine,
  marks: ReadonlySet<string>,
  addresses?: readonly Address[],
  devices: readonly string[] = [],
): Promise<Pick<Released, 'isLost'>> =>
  releaseElements(machine, () => findMarked(machine, marks, addresses), { isStale: isMarked(marks), marks, devices });

async function findMarked(
  { host }: Machine,
  marks: ReadonlySet<string>,
  addresses?: readonly Address[],
): Promise<readonly Element[]> {
  const [mark = '', ...others] = marks; // of one the kernel may be asked, of several everything is listed
  const found = await host.findElements(others.length > 0 ? '' : mark, addresses);
  return found.filter(({ comment }) => comment !== undefined && marks.has(comment));
}

const isMarked = (marks: ReadonlySet<string>) => (chain: Chain) => marks.has(ownerOfSourceChain(chain) ?? '');

/**
 * Those of a record's interfaces that are the pod's: named by the runtime, or else the pod's addresses are behind them, or
 * behind the bridge that they are ports of. A record may be wrong, and the node's own interface must not go down for it.
 */
async function linksOf(
  host: Machine['host'],
  { links, addresses }: AttachmentRecord,
  named: readonly string[] | undefined,
): Promise<AttachmentRecord['links']> {
  if (named !== undefined) return links.filter(({ name }) => named.includes(name));
  const ways: (string | undefined)[] = [];
  for (const address of addresses) ways.push((await host.routeTo(address))?.device);
  const own: AttachmentRecord['links'][number][] = [];
  for (const link of links) {
    const { master, type } = (await host.readLink(link.name)) ?? {};
    const bridge = master && (await host.readLink(master.index))?.name;
    if (type === 'veth' && (ways.includes(link.name) || (bridge && ways.includes(bridge)))) own.push(link);
  }
  return own;
}

/** The values are not guessed: the administrator may have chosen those that we set. */
function tellOfParameters({ log }: Machine, { outline }: AttachmentRecord): void {
  const exits = [...new Set(outline.map(({ exit }) => exit))];
  const message =
    'node.json and our table are both gone: rp_filter of the exits’ interfaces stays as it is, whatever it was before egress';
  log.warn({ exits }, message);
}

/** What is to be forgotten, or at least was tried: a disk that takes no change must not keep from going what is in the kernel. */
function forgetting({ log }: Machine, forget: () => void): void {
  try {
    forget();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log.warn({ error: error.message }, 'the store cannot be changed: a record is left of what is gone');
  }
}

/** The same of what an attachment was for elements that are `stale` alone, and but for what is at `keptDevices`. */
export async function releaseStale(
  machine: Machine,
  previous: AttachmentRecord,
  stale: (element: Element) => boolean,
  keptDevices: readonly string[] = [],
): Promise<void> {
  const [marks, kept] = [new Set([markOf(previous)]), new Set(keptDevices.map(chainNames.from))];
  const find = async () => (await findMarked(machine, marks, previous.addresses)).filter(stale);
  await releaseElements(machine, find, {
    isStale: (chain) => isMarked(marks)(chain) && !kept.has(chain.name),
    marks,
    devices: devicesOf(previous).filter((device) => !keptDevices.includes(device)),
  });
}

/** Lets connections go that an attachment holds and that have ended, and all that nobody needs without them. */
export async function releaseHeld(machine: Machine, isStale: (element: Element) => boolean): Promise<void> {
  await releaseElements(machine, async () => (await machine.host.listHeld()).filter(isStale));
}

/** Stops to serve exits of this node to others, and removes all that nobody needs then. Needs the store's lock. */
export async function releaseServed(machine: Machine, stale: (id: number) => boolean): Promise<readonly Change[]> {
  return (await releaseElements(machine, () => findServed(machine, stale))).changes;
}

async function findServed({ host }: Machine, stale: (id: number) => boolean): Promise<readonly Element[]> {
  return (await host.listServed()).filter(({ key }) => stale(exitIdOfKey(key)));
}

interface Released {
  readonly changes: readonly Change[];
  /** There was neither a record of the node nor our table: nobody knows what kernel parameters were before us. */
  readonly isLost: boolean;
}

/** What goes beside elements. */
interface Stale {
  /** Whether a chain at an interface goes. */
  isStale(chain: Chain): boolean;
  /** Of the attachments that go. */
  readonly marks: ReadonlySet<string>;
  /** See {@link releaseMarks}. */
  readonly devices: readonly string[];
}

const nothingStale: Stale = { isStale: () => false, marks: new Set(), devices: [] };

async function releaseElements(
  machine: Machine,
  findElements: () => Promise<readonly Element[]>,
  stale = nothingStale,
): Promise<Released> {
  const node = machine.store.loadNode();
  const { seen, changes } = await change(
    machine,
    () => observeForRelease(machine, node, findElements),
    (state) => removals(machine, state, node, stale),
  );
  for (const other of seen.others) machine.log.warn({ left: describeOther(other) }, 'none of ours, and left alone');
  forgetUnused(machine, node, seen, changes, await lostFromKernel(machine, seen, stale.marks));
  return { changes, isLost: node === undefined && !seen.table };
}

/** The changes that taking down the attachments with the marks would make. Changes nothing. */
export const planRelease = (machine: Machine, marks: ReadonlySet<string>): Promise<Change[]> =>
  planElements(machine, () => findMarked(machine, marks), { ...nothingStale, isStale: isMarked(marks), marks });

/** The changes that {@link releaseServed} would make. Changes nothing. */
export async function planReleaseServed(machine: Machine, stale: (id: number) => boolean): Promise<Change[]> {
  return planElements(machine, () => findServed(machine, stale));
}

async function planElements(
  machine: Machine,
  findElements: () => Promise<readonly Element[]>,
  stale = nothingStale,
): Promise<Change[]> {
  const node = machine.store.loadNode();
  const { state } = await observeForRelease(machine, node, findElements);
  return removals(machine, state, node, stale);
}

type ReleaseState = OurState & { readonly elements: readonly Element[] };

async function observeForRelease(
  { host }: Machine,
  node: NodeRecord | undefined,
  findElements: () => Promise<readonly Element[]>,
): Promise<Observed<ReleaseState>> {
  const { state, generation } = await host.observeOurs(node);
  const elements = state.chains.length === 0 ? [] : await findElements();
  return { state: { ...state, elements }, generation };
}

/** The changes that take down what nobody needs without the elements. */
async function removals(
  machine: Machine,
  state: ReleaseState,
  node: NodeRecord | undefined,
  { isStale, marks, devices }: Stale,
): Promise<Change[]> {
  const { host } = machine;
  const sources = (state.sent ?? []).filter((chain) => isStale(chain));
  const hasFlushed = (await lostFromKernel(machine, state, marks)).some((lost) => devicesOf(lost).length > 0);
  const remembered = { exits: [], sysctls: {}, ...node, hasFlushed };
  const gone = released(state, state.elements, remembered, sources, marksAt(node, devices));
  // A parameter that somebody set since is theirs.
  const ours = gone.filter(
    (object) => object.kind !== 'sysctl' || host.readSysctl(object.name) === parameterValue(object.name),
  );
  const goneChains = new Set(gone.flatMap((object) => (object.kind === 'chain' ? [object.name] : [])));
  const left = (node?.exits ?? []).filter(({ id }) => !goneChains.has(chainNames.exit(id)));
  const isOthers = (table: Table) => node?.othersTables?.includes(familyOfTable(table)) === true;
  const changes = ours.map((object): Change => {
    if (object.kind === 'table' && isOthers(object)) return { verb: 'replace', object, observed: object };
    const heir = object.kind === 'element' ? heirOf(object, left) : undefined;
    return heir === undefined ? { verb: 'remove', object } : { verb: 'replace', object: heir, observed: object };
  });
  return node && goneChains.has(chainNames.arrive) ? [...changes, ...withoutTunnel(state, node)] : changes;
}

/** Without a record of the node it is not known which marks they are: they go by their interface. */
const marksAt = (node: NodeRecord | undefined, devices: readonly string[]): IngressMark[] =>
  ingressMarks({ exits: [], fwmark: 0, routeTable: 0, rulePriority: 0, spared: [], ...node }, [
    { addresses: [], sources: { devices, others: [] } },
  ]);

/** The chains that ask for the tunnel, as they are when it goes and others stay. */
function withoutTunnel({ chains }: OurState, { fwmark }: NodeRecord): Change[] {
  const wanted = desiredLook({ fwmark });
  const names = new Set(wanted.map(({ name }) => name));
  return difference(
    wanted,
    chains.filter(({ name }) => names.has(name)),
  );
}

/**
 * Pods that run, and whose programs the kernel has not any more: somebody flushed them. The kernel's counts say nothing of
 * them; what they are given back from has to stay. Records are read only when programs are missing.
 */
async function lostFromKernel(
  machine: Machine,
  { chains }: OurState,
  gone: ReadonlySet<string>,
): Promise<AttachmentRecord[]> {
  const known = new Set(chains.map(({ name }) => name));
  if (machine.store.listPrograms().every((program) => known.has(program))) return [];
  const living = await listLiving(machine);
  return living.filter((record) => !gone.has(markOf(record)) && !known.has(record.program));
}

/** Takes out of the node's record what is not set up any more, but for what those need who lost it. */
function forgetUnused(
  machine: Machine,
  node: NodeRecord | undefined,
  seen: OurState,
  changes: readonly Change[],
  lost: readonly AttachmentRecord[],
): void {
  const { store } = machine;
  const gone = new Set(changes.flatMap(({ object }) => (object.kind === 'chain' ? [object.name] : [])));
  const isEmpty =
    seen.chains.length === 0 || changes.some(({ object }) => object.kind === 'table' && object.family === undefined);
  const everything = isEmpty && lost.length === 0;
  const chains = isEmpty ? [] : seen.chains.map(({ name }) => name).filter((name) => !gone.has(name));
  const programs = new Set([...chains, ...lost.map(({ program }) => program)]);
  forgetting(machine, () => store.forgetPrograms(programs));
  if (everything) forgetting(machine, () => store.forgetNode());
  if (everything || node === undefined) return;
  const left = new Set(chains.map(exitIdOfChain));
  const wanted = new Set(lost.flatMap(({ outline }) => outline.map(({ exit }) => exit)));
  const exits = node.exits.filter(({ id, name }) => left.has(id) || wanted.has(name));
  const needed = new Set(exits.flatMap(parameterNames));
  const { tunnel, gateway, behind = [], ...rest } = node;
  const isGone = (kind: HostObject['kind'], name: string) =>
    changes.some(({ object }) => object.kind === kind && 'name' in object && object.name === name);
  const isRemoved = (device: string, address: Address) =>
    changes.some(({ object }) => object.kind === 'address' && object.device === device && object.address === address);
  const isForward = ({ device, address }: Place) =>
    changes.some(({ object }) => object.kind === 'behind' && object.device === device && object.address === address);
  const leftBehind = behind.filter((place) => !isForward(place));
  const next: NodeRecord = {
    ...rest,
    exits,
    ...(tunnel && (!isGone('set', setNames.served) || exits.some((exit) => exit.gateway !== undefined)) && { tunnel }),
    ...(gateway && !isGone('chain', chainNames.owned) && { gateway }),
    sysctls: Object.fromEntries(Object.entries(node.sysctls).filter(([name]) => needed.has(name))),
    addresses: node.addresses.filter(({ device, address }) => !isRemoved(device, address)),
    ...(leftBehind.length > 0 && { behind: leftBehind }),
  };
  if (canonicalJson(next) !== canonicalJson(node)) forgetting(machine, () => store.saveNode(next));
}

/** The connections of the addresses, unless another attachment has the address by now. */
async function forgetFlows({ host }: Machine, addresses: readonly Address[]): Promise<void> {
  const taken = new Set((await host.findElements('', addresses)).map(({ key }) => key));
  for (const address of addresses) if (!taken.has(addressHex(address))) await host.deleteFlows(address);
}
