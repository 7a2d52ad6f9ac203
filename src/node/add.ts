import type { Address, Prefix } from '../base/address.ts';
import { type Attachment, markOf } from '../base/attachment.ts';
import { canonicalJson, isEqual } from '../base/canonical.ts';
import { type Pod, wishName } from '../policy/match.ts';
import { programName } from '../policy/program.ts';
import type { Choice, Policies } from '../sources/policies.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { leavePrevious } from './leave-previous.ts';
import type { Machine } from './machine.ts';
import { isRunning, newRecord, outsideOf } from './new-record.ts';
import { nodeFor } from './node-for-program.ts';
import { passThrough } from './pass-through.ts';
import { choosePorts, givesPorts, type PortsRequest } from './ports.ts';
import { wholeProgram } from './program-content.ts';
import { remark } from './remark.ts';
import {
  type ChangedPods,
  type EarlyLook,
  finishChange,
  lookEarly,
  type Member,
  setUpMembers,
  type WholeProgram,
  withConnections,
} from './running-pods.ts';
import { setUp } from './set-up.ts';
import { tearDown, tearDownRunning } from './tear-down.ts';

/**
 * The pod's network as the plugins before us made it: the part of their result (CNI specification, "Success") that we
 * need.
 */
export interface PodNetwork {
  /** Addresses of the pod's interface, each once, with the networks that they lie in. */
  readonly addresses: readonly Address[];
  readonly subnets: readonly Prefix[];
  /** Names of the interfaces on the host's side. */
  readonly hostInterfaces: readonly string[];
}

/** What ADD is about. */
export interface AddRequest {
  readonly attachment: Attachment;
  readonly pod: Pod;
  readonly policies: Policies;
  readonly podNetwork: PodNetwork;
  /** The pod runs already: its connections go on, as its policies say (`onChange`). */
  readonly isRunning?: true;
  /** The record that the caller saw of the attachment, for looks before the lock. */
  readonly known?: AttachmentRecord;
}

/**
 * ADD (CNI specification, "Add container to network"): gives the attachment the exits that its policies name. When it
 * returns, the pod's first packet is steered; when it throws, nothing that this call made is left.
 */
export async function add(machine: Machine, request: AddRequest): Promise<void> {
  const choice = request.policies.choose(request.pod);
  if (choice.outline.length === 0 && !request.isRunning) return passThrough(machine, request);
  await addChosen(machine, [request], choice);
}

/**
 * The same for pods that run and get the same program, in one step: what they share is looked at once, and changed in one
 * transaction. When it throws, none of them has been changed, though one alone may be the reason.
 *
 * @param requests with one {@link togetherKey}, and the same policies
 * @returns those of pods that still run
 */
export async function addTogether(machine: Machine, requests: readonly AddRequest[]): Promise<readonly AddRequest[]> {
  const [first] = requests;
  return first === undefined ? [] : await addChosen(machine, requests, first.policies.choose(first.pod));
}

/** Equal for requests with the same policies that get the same program. */
export function togetherKey({ policies, pod, podNetwork }: AddRequest): string {
  const { outline, digest } = policies.choose(pod);
  const { clusterCIDRs } = policies.configuration;
  return canonicalJson([programName(digest, outsideOf(podNetwork.subnets, clusterCIDRs), clusterCIDRs), outline]);
}

async function addChosen(machine: Machine, all: readonly AddRequest[], choice: Choice): Promise<readonly AddRequest[]> {
  const [{ policies } = unreachable()] = all;
  const considered: Draft[] = [];
  for (const request of all)
    if (await goesOn(machine, request)) considered.push({ request, draft: await newRecord(machine, request, choice) });
  const whole = wholeOf(choice, policies.configuration.clusterCIDRs);
  const early = await lookEarly(machine, considered, whole);
  const { requests, ...changed } = await change(machine, considered, { policies, choice, whole, early });
  await finishChange(machine, changed, whole);
  return requests;
}

/** What a change goes by, and what was looked at before it. */
interface ChangeOptions {
  readonly policies: Policies;
  readonly choice: Choice;
  readonly whole: () => WholeProgram;
  readonly early: EarlyLook | undefined;
}

/** The change itself, with the store's lock. Returns the requests of pods that still run, and of these those that run anyway. */
async function change(
  machine: Machine,
  considered: readonly Draft[],
  { policies, choice, whole, early }: ChangeOptions,
): Promise<ChangedPods & { readonly requests: readonly AddRequest[] }> {
  const { configuration } = policies;
  using _lock = await machine.store.lock();
  const drafts: Draft[] = [];
  for (const one of considered) if (await goesOn(machine, one.request)) drafts.push(one);
  const requests = drafts.map(({ request }) => request);
  if (requests.length === 0) return { requests, members: [], left: [] };
  const { known, node, ...own } = await nodeFor(machine, configuration, choice.outline);
  // Without ports to give, the others are only pods whose ports go with a changed exit.
  const isAboutOthers = givesPorts(configuration, own.exits) || !isEqual(known?.exits, node.exits);
  const { others, gone } = isAboutOthers ? othersThan(machine, requests) : noOthers;
  const given = withPorts(machine, drafts, { configuration, ...own, others });
  const found = await withConnections(machine, { known, node }, given, { whole, early });
  const isSteered = choice.outline.length > 0;
  const members = found.filter(({ running, record }) => running === undefined || isSteered || record.holds);
  const left = found.filter((member) => !members.includes(member));
  await leaveWithoutPolicy(machine, left);
  const [first] = members;
  if (first === undefined) return { requests, members, left };
  try {
    machine.store.saveAll(members.map(({ record }) => record)); // first: DEL takes down attachments with a record
    for (const { ports: _, ...other } of gone) machine.store.save(other);
    const isRepeated = members.some(({ previous }) => previous !== undefined);
    if (isRepeated || !machine.store.hasProgram(first.record.program)) {
      machine.store.saveProgram(first.record.program, whole());
    }
    policies.keep();
    await remark(machine, node);
    if (!isEqual(known, node)) machine.store.saveNode(node);
    // Content of a tenant's choice is not trusted by its name.
    const thorough = isRepeated || choice.outline.some(({ policy }) => policy === wishName);
    await setUpMembers(machine, node, members, { whole, others, thorough, isRepeated });
    const runs = first.running !== undefined;
    if (!runs) await leavePrevious(machine, node, members);
    return { requests, members: runs ? members : [], left };
  } catch (error) {
    await undo(machine, members, gone);
    throw error;
  }
}

/** A pod that runs may end while its change is made ready; its DEL takes the lock. A new pod waits for its ADD. */
const goesOn = async (machine: Machine, { isRunning: runs, podNetwork }: AddRequest): Promise<boolean> =>
  !runs || (await isRunning(machine, podNetwork));

const unreachable = (): never => {
  throw new RangeError('no request');
};

/** A request, and the record for it without ports and connections. */
interface Draft {
  readonly request: AddRequest;
  readonly draft: AttachmentRecord;
}

/** With ports of their own, of which no two get the same. */
function withPorts(
  { store }: Machine,
  drafts: readonly Draft[],
  { others, ...facts }: Pick<PortsRequest, 'configuration' | 'exits' | 'ownEnd' | 'others'>,
): Member[] {
  const members = drafts.map(({ request, draft }): Member => {
    const previous = store.load(request.attachment);
    return { request, previous, record: previous?.ports ? { ...draft, ports: previous.ports } : draft };
  });
  for (const [i, { request, draft }] of drafts.entries()) {
    const previous = members[i]?.previous;
    const fellows = members.toSpliced(i, 1).map(({ record }) => record);
    const ports = choosePorts({ ...facts, ...draft, previous: previous?.ports ?? [], others: [...others, ...fellows] });
    members[i] = { request, previous, record: { ...draft, ...(ports.length > 0 && { ports }) } };
  }
  return members;
}

/**
 * All ranges of a program. The cluster's ranges are part of it, so that a change of the policy file reaches no running
 * pod.
 */
const wholeOf = (choice: Choice, cluster: readonly Prefix[]) => (): WholeProgram => ({
  matches: choice.whole(),
  cluster,
});

/** Running pods without a policy, and without connections that stay with an exit: all others go on. */
async function leaveWithoutPolicy(machine: Machine, members: readonly Member[]): Promise<void> {
  if (members.length === 0) return;
  const pods = members.map(({ request: { attachment, podNetwork } }) => ({
    attachment,
    addresses: podNetwork.addresses,
  }));
  await tearDownRunning(machine, pods);
}

/** The other attachments to the node. */
interface Others {
  readonly others: readonly AttachmentRecord[];
  /** Pods with ports of their own whose address another pod gets: they are gone, though their DEL has not come. */
  readonly gone: readonly AttachmentRecord[];
}

const noOthers: Others = { others: [], gone: [] };

function othersThan({ store }: Machine, requests: readonly AddRequest[]): Others {
  const marks = new Set(requests.map(({ attachment }) => markOf(attachment)));
  const given = new Set(requests.flatMap(({ podNetwork }) => podNetwork.addresses));
  const all = store.list().filter((record) => !marks.has(markOf(record)));
  const isGone = ({ addresses }: AttachmentRecord) => addresses.some((own) => given.has(own));
  return {
    others: all.filter((other) => !isGone(other)),
    gone: all.filter((other) => isGone(other) && other.ports !== undefined),
  };
}

/**
 * Repeated ADDs that failed leave the attachments as the earlier ones made them. The DEL that follows undoes the rest:
 * the runtime shall hear why ADD failed, not why undoing failed.
 */
async function undo(machine: Machine, members: readonly Member[], gone: Others['gone']): Promise<void> {
  try {
    for (const record of gone) machine.store.save(record); // the ports are theirs again, or two would get them
    for (const member of members) await undoOne(machine, member);
  } catch (error) {
    const attachments = members.map(({ request }) => request.attachment);
    machine.log.warn({ attachments, error: String(error) }, 'ADD failed, and could not be undone');
  }
}

async function undoOne(machine: Machine, { request: { attachment, isRunning }, previous }: Member): Promise<void> {
  if (previous === undefined) {
    await tearDown(machine, attachment, { keepLinks: true, ...(isRunning && { keepFlows: true }) });
    return;
  }
  machine.store.save(previous);
  const node = isRunning && machine.store.loadNode();
  if (!node) return;
  const whole = () => wholeProgram(machine, previous);
  await setUp(machine, node, previous, { whole, thorough: true, held: new Map() }); // its connections go on
}
