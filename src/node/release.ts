import type { Address } from '../base/address.ts';
import { markOf } from '../base/attachment.ts';
import { canonicalJson } from '../base/canonical.ts';
import { isSystemError } from '../base/errors.ts';
import { heirOf } from '../datapath/answers.ts';
import type { Place } from '../datapath/behind.ts';
import type { Change } from '../datapath/difference.ts';
import { fastPathLeft } from '../datapath/fast-path-left.ts';
import type { Observed } from '../datapath/host.ts';
import { chainNames, deviceOfSourceChain, exitIdOfChain, isSourceChain, setNames } from '../datapath/layout.ts';
import type { HostObject, IngressMark } from '../datapath/objects.ts';
import { type OurState, released, rewritten } from '../datapath/release.ts';
import { parameterNames, parameterValue } from '../datapath/reverse-path.ts';
import { describeOther } from '../datapath/routing-words.ts';
import { ownerOfSourceChain } from '../datapath/sources.ts';
import { ingressMarks } from '../datapath/unjudged.ts';
import { type Chain, type Element, familyOfTable, type Table } from '../nftables/object.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import { change } from './change.ts';
import { listLiving } from './living.ts';
import type { Machine } from './machine.ts';

export interface Released {
  readonly changes: readonly Change[];
  /** There was neither a record of the node nor our table: nobody knows what kernel parameters were before us. */
  readonly isLost: boolean;
}

/** What goes beside elements. */
export interface Stale {
  /** Whether a chain at an interface goes. */
  isStale(chain: Chain): boolean;
  /** Of the attachments that go. */
  readonly marks: ReadonlySet<string>;
  /** Those of {@link marks} that are known to have a record: their interfaces go with their pods. */
  readonly recorded?: ReadonlySet<string>;
  /** Interfaces of pods that run on, which mark nothing any more. */
  readonly devices: readonly string[];
}

export const nothingStale: Stale = { isStale: () => false, marks: new Set(), devices: [] };

/**
 * Removes elements, and all that nobody needs without them: decided by the kernel's counts (see `datapath/release.ts`), and
 * written into the node's record. Needs the store's lock.
 */
export async function releaseElements(
  machine: Machine,
  findElements: () => Promise<readonly Element[]>,
  stale = nothingStale,
): Promise<Released> {
  const node = machine.store.loadNode();
  const { seen, changes } = await change(
    machine,
    () => observeForRelease(machine, node, findElements, stale),
    (state) => removals(machine, state, node, stale),
  );
  for (const other of seen.others) machine.log.warn({ left: describeOther(other) }, 'none of ours, and left alone');
  forgetUnused(machine, node, seen, changes);
  return { changes, isLost: node === undefined && !seen.table };
}

/** The changes that {@link releaseElements} would make. Changes nothing. */
export async function planElements(
  machine: Machine,
  findElements: () => Promise<readonly Element[]>,
  stale = nothingStale,
): Promise<Change[]> {
  const node = machine.store.loadNode();
  const { state } = await observeForRelease(machine, node, findElements, stale);
  return removals(machine, state, node, stale);
}

type ReleaseState = OurState & {
  readonly elements: readonly Element[];
  /** See {@link lostFromKernel}. */
  readonly lost: readonly AttachmentRecord[];
};

async function observeForRelease(
  machine: Machine,
  node: NodeRecord | undefined,
  findElements: () => Promise<readonly Element[]>,
  { marks }: Stale,
): Promise<Observed<ReleaseState>> {
  const { state, generation } = await machine.host.observeOurs(node);
  const elements = state.chains.length === 0 ? [] : await findElements();
  return { state: { ...state, elements, lost: await lostFromKernel(machine, state, marks) }, generation };
}

/** The changes that take down what nobody needs without the elements. */
function removals(
  machine: Machine,
  state: ReleaseState,
  node: NodeRecord | undefined,
  { isStale, devices, recorded }: Stale,
): Change[] {
  const { host } = machine;
  const sources = (state.sent ?? []).filter((chain) => isStale(chain));
  const hasFlushed = state.lost.some((lost) => devicesOf(lost).length > 0);
  const isElected = node?.gateway?.owned.some(({ elected }) => elected) && hasElections(machine);
  const remembered = { exits: [], sysctls: {}, ...node, hasFlushed, ...(isElected && { isElected }) };
  const withoutMarks = released(state, state.elements, remembered, sources);
  const forgotten = forgottenDevices(machine, state, withoutMarks, recorded);
  const gone = [...withoutMarks, ...marksAt(node, [...devices, ...forgotten])];
  const stays = staying(machine, gone);
  // A parameter that somebody set since is theirs.
  const ours = gone.filter(
    (object) =>
      !stays(object) && (object.kind !== 'sysctl' || host.readSysctl(object.name) === parameterValue(object.name)),
  );
  const goneChains = new Set(gone.flatMap((object) => (object.kind === 'chain' ? [object.name] : [])));
  const left = (node?.exits ?? []).filter(({ id }) => !goneChains.has(chainNames.exit(id)));
  const isOthers = (table: Table) => node?.othersTables?.includes(familyOfTable(table)) === true;
  const changes = ours.map((object): Change => {
    if (object.kind === 'table' && isOthers(object)) return { verb: 'replace', object, observed: object };
    const heir = object.kind === 'element' ? heirOf(object, left) : undefined;
    return heir === undefined ? { verb: 'remove', object } : { verb: 'replace', object: heir, observed: object };
  });
  return [
    ...changes,
    ...rewritten(state, goneChains, node),
    ...fastPathLeft(state, gone, node && { ...node, exits: left }),
  ];
}

const hasElections = ({ store }: Machine): boolean => Object.keys(store.agent.loadElections()).length > 0;

/** Addresses that gateways elect about come and go as the election wants it, whatever else is there. */
function staying({ store }: Machine, gone: readonly HostObject[]): (object: HostObject) => boolean {
  if (!gone.some(({ kind }) => kind === 'address')) return () => false;
  const elected = Object.values(store.agent.loadElections()).filter(({ by }) => by === 'vrrp');
  const addresses = new Set(elected.flatMap((exit) => exit.addresses));
  return (object) => object.kind === 'address' && addresses.has(object.address);
}

/** The interfaces of chains that go and are of no attachment that has a record: nobody says whether their pods go, too. */
function forgottenDevices(
  { store }: Machine,
  { sent = [] }: OurState,
  gone: readonly HostObject[],
  recorded: ReadonlySet<string> = new Set(),
): string[] {
  const isWhole = gone.some((object) => object.kind === 'table' && object.family === 'netdev');
  const chains = sent.filter(({ name }) => isSourceChain(name)).filter((chain) => isWhole || gone.includes(chain));
  const unsure = chains.filter((chain) => !recorded.has(ownerOfSourceChain(chain) ?? ''));
  if (unsure.length === 0) return [];
  const known = new Set(store.list().map(markOf));
  return unsure
    .filter((chain) => !known.has(ownerOfSourceChain(chain) ?? ''))
    .map(({ name }) => deviceOfSourceChain(name));
}

/** Without a record of the node it is not known which marks they are: they go by their interface. */
const marksAt = (node: NodeRecord | undefined, devices: readonly string[]): IngressMark[] =>
  ingressMarks({ exits: [], fwmark: 0, routeTable: 0, rulePriority: 0, spared: [], ...node }, [
    { addresses: [], sources: { devices, others: [] } },
  ]);

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
  seen: ReleaseState,
  changes: readonly Change[],
): void {
  const { store } = machine;
  const { lost } = seen;
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

/** What is to be forgotten, or at least was tried: a disk that takes no change must not keep from going what is in the kernel. */
export function forgetting({ log }: Machine, forget: () => void): void {
  try {
    forget();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log.warn({ error: error.message }, 'the store cannot be changed: a record is left of what is gone');
  }
}

/** Interfaces that mark what comes in by them: they go with their pod, unless it runs on. */
export const devicesOf = ({ sources }: AttachmentRecord): readonly string[] => sources?.devices ?? [];
