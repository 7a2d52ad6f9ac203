import type { Attachment } from '../base/attachment.ts';
import { asEgressError } from '../base/errors.ts';
import { capability, readAnnotations } from '../cni/annotations.ts';
import { checkNames, podOf } from '../cni/environment.ts';
import { type MachineOptions, machineOptionsOf } from '../cni/plugin.ts';
import { readPrevResult } from '../cni/prev-result.ts';
import type { ReadFile } from '../config/read.ts';
import { filesIn } from '../files/file.ts';
import { Portion } from '../loop/portion.ts';
import { type AddRequest, addTogether, togetherKey } from '../node/add.ts';
import type { Machine, Onward } from '../node/machine.ts';
import { isRunning } from '../node/new-record.ts';
import type { Pod } from '../policy/match.ts';
import { type LabelsOf, withLabels } from '../sources/labels.ts';
import type { Policies } from '../sources/policies.ts';
import type { AttachmentRecord } from '../store/record.ts';
import { type CachedResult, readCachedResult } from './cached-result.ts';
import type { Chains, Entry } from './conflists.ts';

/** How pods are adopted. */
export interface AdoptOptions {
  /** Where libcni keeps what it did. */
  readonly resultsDir: string;
  /** Also give outdated pods the exits that a new pod like them would get. */
  readonly outdated?: true;
  readonly dryRun?: true;
}

/** What adoption has around it. */
export interface AdoptSurroundings {
  readonly readFile: ReadFile;
  /** By the names of networks, our entries in their chains now. */
  readonly entries: Chains['own'];
  /** What an entry gives its pods now. Throws as ADD does. */
  policiesOf(entry: Entry, machine: Machine): Policies;
  openMachine(options: MachineOptions): Promise<Machine & Disposable>;
  /** The labels of a pod, where policies choose by them; `undefined`: nobody tells them. */
  readonly labelsOf: LabelsOf;
  /** Why a new pod like that of the record would be given something else. */
  whyOutdated(machine: Machine, record: AttachmentRecord): Promise<string | undefined>;
  /**
   * Whether all is there of a pod with a record. One that was adopted by a call that was killed is adopted by the next. Absent: it
   * is; the agent mends such a pod by itself.
   */
  isWhole?(machine: Machine, record: AttachmentRecord): Promise<boolean>;
  /** Asked before each pod. Absent: it goes on. */
  readonly onward?: Onward;
  /** Asked before each pod and each change, neither of which it is part of: rests where it is to. Absent: never. */
  rest?(): Promise<void>;
  /**
   * Milliseconds of a processor that this thread had so far: on a busy machine all takes longer, and in smaller parts longer still.
   * Absent: those of a clock.
   */
  worked?(): number;
  /** Whether others change things, too. Absent: only what was seen at the lock tells. */
  isBesideOthers?(): boolean;
}

/** A pod from before egress, and the result for it. */
export interface Adoption extends Pick<Attachment, 'network' | 'containerId' | 'ifname'> {
  readonly pod: Pod;
  /** The exits that its policies name; none: no policy is for it, and nothing was done. */
  readonly exits: readonly string[];
  /** Why it is given something else than it had. */
  readonly outdated?: string;
  /** Why it is not steered, though it should be. */
  readonly problem?: string;
}

/**
 * Gives pods from before egress the exits of their policies, as ADD does for new pods, from the cache of the runtime's
 * libcni. Pods with their exits are left alone; with `outdated`, only while a new pod would be given the same. Pods
 * without their interface are left alone, too.
 */
export async function adoptAll(options: AdoptOptions, surroundings: AdoptSurroundings): Promise<readonly Adoption[]> {
  const adoptions: Adoption[] = [];
  const known = new Map<Entry, Policies>();
  const groups = new Groups(surroundings);
  const all = candidates(options, surroundings);
  for (const [done, { cached, entry }] of all.entries()) {
    await surroundings.rest?.();
    if ((await surroundings.onward?.({ what: cached.containerId, done, of: all.length })) === false) break;
    const policies = (machine: Machine) => {
      const found = known.get(entry) ?? surroundings.policiesOf(entry, machine);
      known.set(entry, found);
      return found;
    };
    const found = await consider(cached, { entry: asGiven(entry, cached), policies }, options, surroundings);
    if (found !== undefined) adoptions.push(found.adoption);
    if (found?.request !== undefined) await groups.add({ ...found, request: found.request });
  }
  await groups.end();
  return adoptions.filter((adoption) => !groups.gone.has(adoption));
}

/**
 * Attachments to networks with egress in their chain now, each with the chain entry that the runtime would pass on ADD.
 */
function candidates({ resultsDir }: AdoptOptions, { readFile, entries }: AdoptSurroundings) {
  return filesIn(resultsDir)
    .sort()
    .flatMap((file) => {
      const cached = readCachedResult(readFile(`${resultsDir}/${file}`) ?? '');
      const entry = cached && entries.get(cached.network);
      return cached && entry ? [{ cached, entry }] : [];
    });
}

const asGiven = (entry: Entry, { annotations, result }: CachedResult): Entry => ({
  ...entry,
  runtimeConfig: { [capability]: annotations },
  prevResult: result,
});

/** What ADD would be given for a pod. */
interface Given {
  readonly entry: Entry;
  policies(machine: Machine): Policies;
}

/** A pod to adopt, and ADD's request for it. */
interface Considered {
  readonly adoption: Writable<Adoption>;
  readonly entry: Entry;
  /** Absent: nothing is done, as on a dry run. */
  readonly request?: AddRequest;
}

/** `undefined` for a pod that has its exits already, or is gone. Changes nothing. */
async function consider(
  cached: CachedResult,
  given: Given,
  options: AdoptOptions,
  surroundings: AdoptSurroundings,
): Promise<Considered | undefined> {
  const { network, containerId, ifname } = cached;
  const { entry } = given;
  const adoption: Writable<Adoption> = { network, containerId, ifname, pod: {}, exits: [] };
  try {
    checkNames(containerId, ifname);
    const annotations = readAnnotations(entry);
    adoption.pod = { ...podOf(cached.args), ...(annotations && { annotations }) };
    using machine = await surroundings.openMachine(machineOptionsOf(entry));
    const request = await requestOf(adoption, cached, given, options, surroundings, machine);
    if (request === undefined) return undefined;
    const isLeft = options.dryRun || (adoption.exits.length === 0 && adoption.outdated === undefined);
    return { adoption, entry, ...(!isLeft && { request }) };
  } catch (error) {
    adoption.problem = asEgressError(error).message;
    return { adoption, entry };
  }
}

/**
 * Pods in one change: more would take less time in all, and an ADD would wait longer for the store's lock. The first that comes is
 * seen only when it waits already.
 */
const atOnce = { least: 8, most: 32, milliseconds: 12 } as const;
const besideOthers = 8;

type Waiting = Required<Considered>;

/** Adopts pods together that get the same program. One that cannot be changed keeps no other from it: then each is changed alone. */
class Groups {
  readonly #surroundings: AdoptSurroundings;
  readonly #groups = new Map<string, Waiting[]>();
  /** Pods that ended while they waited. */
  readonly gone = new Set<Adoption>();
  readonly #portion = new Portion(atOnce);
  #isWanted = false;

  constructor(surroundings: AdoptSurroundings) {
    this.#surroundings = surroundings;
  }

  get #atOnce(): number {
    const { size } = this.#portion;
    return this.#isWanted || this.#surroundings.isBesideOthers?.() ? Math.min(size, besideOthers) : size;
  }

  async add(one: Waiting): Promise<void> {
    const key = `${one.adoption.network} ${togetherKey(one.request)}`;
    const group = [...(this.#groups.get(key) ?? []), one];
    this.#groups.set(key, group);
    if (group.length < this.#atOnce) return;
    this.#groups.delete(key);
    await this.#adoptInParts(group);
  }

  /** Adopts those that still wait for others. */
  async end(): Promise<void> {
    for (const group of this.#groups.values()) await this.#adoptInParts(group);
    this.#groups.clear();
  }

  /** Others get the lock between two parts. */
  async #adoptInParts(group: readonly Waiting[]): Promise<void> {
    for (let rest = group; rest.length > 0; ) {
      const part = rest.slice(0, this.#atOnce);
      rest = rest.slice(part.length);
      await this.#surroundings.rest?.();
      await this.#adopt(part);
    }
  }

  async #adopt(group: readonly Waiting[]): Promise<void> {
    try {
      await this.#change(group);
    } catch (error) {
      const [one, ...others] = group;
      if (one !== undefined && others.length === 0) one.adoption.problem = asEgressError(error).message;
      else for (const each of group) await this.#adopt([each]);
    }
  }

  async #change(group: readonly Waiting[]): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    using machine = await this.#surroundings.openMachine(machineOptionsOf(first.entry));
    const requests = group.map(({ request }) => request);
    const { worked = () => performance.now() } = this.#surroundings;
    const holding = (pods: number) => {
      const began = worked();
      return () => this.#portion.took(pods, worked() - began);
    };
    const done = await addTogether(machine, requests, { holding });
    this.#isWanted = machine.store.isWanted;
    for (const { adoption, request } of group) {
      if (!done.includes(request)) {
        this.gone.add(adoption);
        continue;
      }
      const { network, containerId, ifname, pod } = adoption;
      machine.log.info({ network, containerId, ifname, pod }, 'adopted');
    }
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** A pod that is set up is left alone unless it is outdated, one that is so by half unless that would give it something else. */
async function judged(
  machine: Machine,
  record: AttachmentRecord | undefined,
  withOutdated: boolean,
  { isWhole, whyOutdated }: AdoptSurroundings,
): Promise<{ readonly isLeft: boolean; readonly outdated?: string }> {
  if (record === undefined) return { isLeft: false };
  const isDone = (await isWhole?.(machine, record)) ?? true;
  if (isDone && !withOutdated) return { isLeft: true };
  const outdated = await whyOutdated(machine, record);
  if (outdated === undefined) return { isLeft: isDone };
  return { isLeft: !withOutdated, outdated };
}

/** ADD's request for a pod to adopt. Puts its exits into `adoption`. Changes nothing. */
async function requestOf(
  adoption: Writable<Adoption>,
  cached: CachedResult,
  { entry, policies: policiesFor }: Given,
  { outdated: withOutdated }: AdoptOptions,
  surroundings: AdoptSurroundings,
  machine: Machine,
): Promise<AddRequest | undefined> {
  const podNetwork = readPrevResult(entry, cached.ifname);
  const isKnown = machine.store.has(cached) && !withOutdated && surroundings.isWhole === undefined;
  if (isKnown || !(await isRunning(machine, podNetwork))) return undefined;
  const record = machine.store.load(cached);
  const { isLeft, outdated } = await judged(machine, record, withOutdated === true, surroundings);
  if (isLeft) return undefined;
  if (outdated !== undefined) adoption.outdated = outdated;
  const policies = policiesFor(machine);
  const known = record?.pod.labels;
  adoption.pod = await withLabels(
    policies.configuration,
    adoption.pod,
    async (...question) => (await surroundings.labelsOf(...question)) ?? known,
  );
  adoption.exits = [...new Set(policies.choose(adoption.pod).outline.map(({ exit }) => exit))];
  const { network, containerId, ifname } = cached;
  const attachment = { network, containerId, ifname };
  return { attachment, pod: adoption.pod, policies, podNetwork, isRunning: true, ...(record && { known: record }) };
}
