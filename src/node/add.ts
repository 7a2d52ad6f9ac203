import type { Address, Prefix } from '../base/address.ts';
import type { Attachment } from '../base/attachment.ts';
import { canonicalJson, isEqual } from '../base/canonical.ts';
import { type Pod, wishName } from '../policy/match.ts';
import { programName } from '../policy/program.ts';
import type { Choice, Policies } from '../sources/policies.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { type ChangeOptions, type Decided, type Draft, decide } from './decide.ts';
import { holdAhead } from './hold-ahead.ts';
import { leavePrevious } from './leave-previous.ts';
import type { Machine } from './machine.ts';
import { isRunning, newRecord, outsideOf } from './new-record.ts';
import { passThrough } from './pass-through.ts';
import { Prepared } from './prepared.ts';
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
} from './running-pods.ts';
import { forgetOthersFlows, setUp } from './set-up.ts';
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
export async function addTogether(
  machine: Machine,
  requests: readonly AddRequest[],
  options: TogetherOptions = {},
): Promise<readonly AddRequest[]> {
  const [first] = requests;
  return first === undefined ? [] : await addChosen(machine, requests, first.policies.choose(first.pod), options);
}

/** How pods are changed together. */
export interface TogetherOptions {
  /** Called with the store's lock, for so many pods; what it returns is called when it is given back. */
  holding?(pods: number): () => void;
}

/** Equal for requests with the same policies that get the same program. */
export function togetherKey({ policies, pod, podNetwork }: AddRequest): string {
  const { outline, digest } = policies.choose(pod);
  const { clusterCIDRs } = policies.configuration;
  return canonicalJson([programName(digest, outsideOf(podNetwork.subnets, clusterCIDRs), clusterCIDRs), outline]);
}

async function addChosen(
  machine: Machine,
  all: readonly AddRequest[],
  choice: Choice,
  { holding }: TogetherOptions = {},
): Promise<readonly AddRequest[]> {
  const [{ policies } = unreachable()] = all;
  const considered: Draft[] = [];
  for (const request of all)
    if (await goesOn(machine, request)) considered.push({ request, draft: await newRecord(machine, request, choice) });
  const whole = wholeOf(choice, policies.configuration.clusterCIDRs);
  const early = await lookAndHold(machine, considered, whole);
  const options = { policies, choice, whole, early };
  using prepared = await prepare(machine, considered, options);
  const { requests, behind, ...changed } = await change(machine, considered, { ...options, prepared, holding });
  await behind?.();
  await finishChange(machine, changed, whole);
  return requests;
}

/** How often connections are held ahead: more may begin meanwhile, and those that begin behind the last look are few. */
const holdsAhead = 3;

/** {@link lookEarly}, and where connections that stay with their exits are many, they are held before. */
async function lookAndHold(
  machine: Machine,
  drafts: readonly Draft[],
  whole: () => WholeProgram,
): Promise<EarlyLook | undefined> {
  let early = await lookEarly(machine, drafts, whole);
  for (let i = 0; i < holdsAhead && early !== undefined && (await holdAhead(machine, early)); i++)
    early = await lookEarly(machine, drafts, whole, true);
  return early;
}

/** Content of a tenant's choice is not trusted by its name, nor is what was set up before. */
const isThorough = (isRepeated: boolean, { outline }: Choice): boolean =>
  isRepeated || outline.some(({ policy }) => policy === wishName);

const isAnyRepeated = (members: readonly Member[]): boolean => members.some(({ previous }) => previous !== undefined);

/** Of pods that run: what takes long is done before the lock, and holds while nobody changes anything. */
async function prepare(
  machine: Machine,
  drafts: readonly Draft[],
  options: ChangeOptions,
): Promise<Prepared | undefined> {
  if (options.early === undefined || drafts.length === 0) return undefined; // others wait for each of the questions, but nobody for a pod that starts
  const { whole, choice } = options;
  return await Prepared.of(
    machine,
    () => decide(machine, drafts, options),
    ({ others, members }) => {
      const isRepeated = isAnyRepeated(members);
      return { whole, others, thorough: isThorough(isRepeated, choice), isRepeated };
    },
  );
}

interface Changed extends ChangedPods {
  /** Of pods that still run. */
  readonly requests: readonly AddRequest[];
  /** What the call waits for, and others that wait for the lock do not. When it throws, nothing of the change is left. */
  behind?(): Promise<void>;
}

/** The change itself, with the store's lock. */
async function change(
  machine: Machine,
  considered: readonly Draft[],
  {
    prepared,
    holding = () => () => {},
    ...options
  }: ChangeOptions & { readonly prepared: Prepared | undefined; readonly holding: TogetherOptions['holding'] },
): Promise<Changed> {
  const { policies, choice, whole } = options;
  using _lock = await machine.store.lock();
  using _once = machine.host.onceEach();
  using _holding = { [Symbol.dispose]: holding(considered.length) };
  const drafts: Draft[] = [];
  for (const one of considered) if (await goesOn(machine, one.request)) drafts.push(one);
  const requests = drafts.map(({ request }) => request);
  if (requests.length === 0) return { requests, members: [], left: [] };
  const ready = drafts.length === considered.length && (await prepared?.holds(machine)) === true ? prepared : undefined;
  const { known, node, others, gone, members, left } = ready?.decided ?? (await decide(machine, drafts, options));
  await leaveWithoutPolicy(machine, left);
  const [first] = members;
  if (first === undefined) return { requests, members, left };
  try {
    const isRepeated = isAnyRepeated(members);
    const { program } = first.record;
    // Before running pods have it on record: whoever is killed in between leaves none of which nobody knows the program.
    if (isRepeated) machine.store.saveProgram(program, whole());
    const records = members.map(({ record }) => record);
    machine.store.saveAll(records, ready?.staged); // first else: DEL takes down attachments with a record
    for (const { ports: _, ...other } of gone) machine.store.save(other);
    if (!machine.store.hasProgram(program)) machine.store.saveProgram(program, whole());
    policies.keep();
    await remark(machine, node);
    if (!isEqual(known, node)) machine.store.saveNode(node);
    const thorough = isThorough(isRepeated, choice);
    const ahead = ready?.ahead;
    const how = { whole, others, thorough, isRepeated, leavesFlows: true, ...(ahead && { ahead }) } as const;
    const changes = await setUpMembers(machine, node, members, how);
    if (first.running !== undefined) return { requests, members, left };
    await leavePrevious(machine, node, members);
    // A listing of conntrack takes 10 ms, as for each IPv6 address.
    const behind = () => unlessUndone(machine, { members, gone }, () => forgetOthersFlows(machine, records, changes));
    return { requests, members: [], left, behind };
  } catch (error) {
    await undo(machine, members, gone);
    throw error;
  }
}

async function unlessUndone(
  machine: Machine,
  { members, gone }: Pick<Decided, 'members' | 'gone'>,
  action: () => Promise<void>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    using _lock = await machine.store.lock();
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

/**
 * Repeated ADDs that failed leave the attachments as the earlier ones made them. The DEL that follows undoes the rest:
 * the runtime shall hear why ADD failed, not why undoing failed.
 */
async function undo(machine: Machine, members: readonly Member[], gone: Decided['gone']): Promise<void> {
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
