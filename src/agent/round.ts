import { asEgressError, type EgressError, isSystemError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import { isReset } from '../datapath/counting.ts';
import { describe } from '../datapath/describe.ts';
import type { Change } from '../datapath/difference.ts';
import { servedExits } from '../gateway/gateway.ts';
import { lookAtNode, reconcile, type Wanted } from '../gateway/reconcile.ts';
import type { Seldom } from '../loop/seldom.ts';
import { collect } from '../node/collect.ts';
import { endHeld, isHeldEnded } from '../node/held-ended.ts';
import { findDead } from '../node/living.ts';
import type { Machine } from '../node/machine.ts';
import { lookAtRecorded, repair, repairPods } from '../node/repair.ts';
import { podName } from '../report/asked-pod.ts';
import type { Adoption } from '../runtimes/adopt.ts';

/** The findings and changes of one round. */
export interface Round {
  /** What was missing, different or too much, and was put right. */
  readonly changes: readonly Change[];
  /** Pods that were given exits, or others than they had, or none any more. */
  readonly adopted: readonly Adoption[];
  /** Marks of attachments that were taken down, because their pods are gone. */
  readonly collected: readonly string[];
  /** Pods that could not be given what the policies say now; the failures tell of them, too. */
  readonly refused: readonly Adoption[];
  /** Failures, in sentences. */
  readonly failures: readonly string[];
  /** Whether every part of the round came to its end; the reason why one did not is among the failures. */
  readonly isWhole: boolean;
  /** Whether it went by the configuration; else by what is on record alone. */
  readonly isConfigured: boolean;
  /** It began with a glance, see {@link RoundSurroundings.mayGlance}: `enough`, or something was found and all was looked at. */
  readonly glance?: 'enough' | 'found';
}

/** The surroundings of a round. */
export interface RoundSurroundings {
  readonly machine: Machine;
  /** Undefined while it cannot be read, and never could: the node is kept as its records say. */
  readonly configuration: Configuration | undefined;
  /**
   * Whether nothing is begun: served exits stay, and none is served but those that this node is elected for. So it is while the configuration cannot be
   * read, for it may have been taken away, and while egress leaves the node.
   */
  readonly startsNothing?: boolean;
  /**
   * All was found to be right, and nothing that a round goes by has changed since, as far as the kernel and the files tell. So a
   * glance comes first, at what pods share and at what no message tells of; when that is right, the round is over.
   */
  readonly mayGlance?: boolean;
  /** How often it is looked whether connections that pods hold have ended: that lists all of conntrack. Absent: each time. */
  readonly ending?: Seldom;
  /** Gives pods the exits that a new pod like them would get. */
  adopt(): Promise<readonly Adoption[]>;
}

/**
 * Makes the node as it should be, once. Lost objects come back first, then dead pods are taken down, and then running
 * pods get the exits of the present policies. Each part takes the store's lock for its own changes, and only after a
 * look without the lock found some: no ADD waits for a node that is right. A part that fails, as for a disk that is full,
 * keeps no other from what it does.
 */
export async function round(surroundings: RoundSurroundings): Promise<Round> {
  if (!surroundings.mayGlance) return await wholeRound(surroundings);
  if (await isRightAtAGlance(surroundings)) return nothingDone;
  return { ...(await wholeRound(surroundings)), glance: 'found' };
}

const nothingDone: Round = {
  ...{ changes: [], adopted: [], collected: [], refused: [], failures: [], isWhole: true, isConfigured: true },
  glance: 'enough',
};

async function isRightAtAGlance(surroundings: RoundSurroundings): Promise<boolean> {
  const looked = await lookWithoutLock(surroundings, { podsAreRight: true });
  if (looked === undefined || looked.changes.length + looked.failures.length > 0) return false;
  return !(await isHeldEnded(surroundings.machine).catch(() => true));
}

async function wholeRound(surroundings: RoundSurroundings): Promise<Round> {
  const { machine, configuration, adopt, ending } = surroundings;
  const parts = new Parts();
  const kept = await parts.try(() => keep(surroundings, parts), nothingKept);
  const isAnyDead = async () => (await findDead(machine)).length > 0;
  const collected = await parts.try(async () => ((await isAnyDead()) ? await collect(machine) : []), []);
  const end = () => endHeld(machine);
  await parts.try(() => ending?.do(end) ?? end(), undefined);
  const adopted = configuration === undefined ? [] : await parts.try(adopt, []);
  const refused = adopted.filter(({ problem }) => problem !== undefined);
  const ofPods = refused.map(({ problem, ...adoption }) => `pod ${podName(adoption)}: ${problem}`);
  return {
    changes: kept.changes.filter((change) => !isReset(change) && describe(change).length > 0),
    adopted: adopted.filter(isChanged),
    ...{ collected, refused },
    failures: [...new Set([...[...parts.failures, ...kept.failures].map(({ message }) => message), ...ofPods])],
    isWhole: parts.failures.length === 0,
    isConfigured: kept.isConfigured,
  };
}

/**
 * Makes what all pods share fit the elections of now, and looks at no pod: that takes time that grows with them, and who waits for an exit
 * that has come here waits for this alone. A round sees to the rest. Where our table is gone there is no short way, and nothing is done.
 */
export async function leadExits(surroundings: Pick<RoundSurroundings, 'machine' | 'configuration' | 'startsNothing'>) {
  const { machine, configuration } = surroundings;
  if (configuration === undefined || (await isTableGone(machine))) return;
  using _lock = await machine.store.lockInAnyCase();
  await reconcile(machine, configuration, { ...wantedBy(surroundings), podsAreRight: true });
}

/** Things that are tried one after the other, whatever becomes of the others. */
class Parts {
  readonly failures: EgressError[] = [];

  async try<T>(action: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await action();
    } catch (error) {
      this.failures.push(asEgressError(error));
      return otherwise;
    }
  }
}

/** What a round put right, in sentences. */
export const mendedIn = ({ changes }: Pick<Round, 'changes'>): readonly string[] => changes.flatMap(describe);

/** Whether a pod was given something, or something was taken from it. */
export const isChanged = ({ exits, outdated, problem }: Adoption): boolean =>
  problem === undefined && (exits.length > 0 || outdated !== undefined);

interface Kept {
  readonly changes: readonly Change[];
  readonly failures: readonly EgressError[];
  readonly isConfigured: boolean;
}

const nothingKept: Kept = { changes: [], failures: [], isConfigured: false };

/**
 * Keeps exits, served exits and attachments. When our table is gone, nothing has to be looked at to know that: what is on record of
 * the pods comes back first, in one transaction for all of a program, and all else behind it.
 */
async function keep(surroundings: RoundSurroundings, parts: Parts): Promise<Kept> {
  const { machine, configuration } = surroundings;
  const isGone = await isTableGone(machine);
  const looked = isGone ? undefined : await lookWithoutLock(surroundings);
  if (looked !== undefined && looked.changes.length === 0) return looked;
  using _lock = await machine.store.lockInAnyCase();
  if (configuration === undefined) return await restore(machine);
  const back = isGone ? await putBackPods(machine) : [];
  try {
    const done = await reconcile(machine, configuration, wantedBy(surroundings));
    return { ...done, changes: [...back, ...done.changes], isConfigured: true };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    parts.failures.push(asEgressError(error));
    const restored = await restore(machine); // nothing new can be written down: what is on record is put back all the same
    return { ...restored, changes: [...back, ...restored.changes] };
  }
}

/** Whether the kernel has nothing of ours any more, though pods are on record. */
async function isTableGone({ host, store }: Machine): Promise<boolean> {
  try {
    return store.hasAttachments() && !(await host.hasTable());
  } catch {
    return false;
  }
}

/** What fails here fails again when the node is looked at as a whole, and is told then. */
async function putBackPods(machine: Machine): Promise<readonly Change[]> {
  const node = machine.store.loadNode();
  return node === undefined ? [] : (await repairPods(machine, node)).changes;
}

const restore = async (machine: Machine): Promise<Kept> => onlyErrors(await repair(machine));

/** `undefined` when the look failed: an ADD or DEL beside it may be the reason. */
async function lookWithoutLock(
  surroundings: RoundSurroundings,
  more: Pick<Wanted, 'podsAreRight'> = {},
): Promise<Kept | undefined> {
  const { machine, configuration } = surroundings;
  using host = machine.host.look();
  const looking = { ...machine, host };
  try {
    if (configuration === undefined) return onlyErrors(await lookAtRecorded(looking));
    return {
      ...(await lookAtNode(looking, configuration, { ...wantedBy(surroundings), ...more })),
      isConfigured: true,
    };
  } catch {
    return undefined;
  }
}

/** What the node shall be in a round. */
export function wantedBy({ machine, startsNothing }: Pick<RoundSurroundings, 'machine' | 'startsNothing'>): Wanted {
  // A gateway by its elections may have the addresses at any moment, also of an exit that its own pods have left by another one.
  const served = new Set([...servedExits(machine), ...Object.keys(machine.store.agent.loadElections())]);
  return {
    serves: ({ name }) => startsNothing !== true || served.has(name),
    moves: machine.store.loadMoves(),
  };
}

const onlyErrors = ({ changes, failures }: Awaited<ReturnType<typeof repair>>): Kept => ({
  changes,
  failures: failures.map(({ error }) => error),
  isConfigured: false,
});
