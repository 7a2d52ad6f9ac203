import { EgressError } from '../base/errors.ts';
import { type Change, isOfFlags } from '../datapath/difference.ts';
import type { Observed } from '../datapath/host.ts';
import { printChanges } from '../datapath/print.ts';
import type { Machine } from './machine.ts';

/** Other programs change the ruleset now and then, not all the time. */
const tries = 100;

/** The state that was seen, and the changes for it. */
export interface Decision<T> {
  readonly seen: T;
  readonly changes: readonly Change[];
  /** The ruleset's, of what was seen. */
  readonly generation: number;
  /** By how much the generation is more behind the changes; `undefined`: nobody knows. */
  readonly later: number | undefined;
}

/** Whether a change lets an interface mark what comes in by it. */
export const isMarking = ({ verb, object }: Change): boolean => verb !== 'remove' && object.kind === 'ingressMark';

/**
 * Looks, decides and changes; when somebody else changed the ruleset between the look and the change, all over again.
 * Returns the decision that was carried out. Needs the store's lock.
 */
export async function change<T>(
  machine: Machine,
  look: () => Promise<Observed<T>>,
  decide: (seen: T) => readonly Change[] | Promise<readonly Change[]>,
): Promise<Decision<T>> {
  const { log } = machine;
  using _besideOthers = machine.host.besideOthers();
  const woken: Change[] = [];
  for (let tried = 1; tried <= tries; tried++) {
    const { state: seen, generation } = await look();
    const decided = await decide(seen);
    // The kernel takes no new base chain beside a change of its table's flags: that goes alone, and first.
    const asleep = decided.filter(isOfFlags);
    const changes = asleep.length > 0 ? asleep : [...decided];
    log.debug(() => ({ tried, commands: printChanges(changes) }), 'changing');
    const done = await carriedOut(machine, changes, generation);
    if (done === undefined) continue;
    if (asleep.length === 0) return { ...done, seen, generation, changes: [...woken, ...done.changes] };
    woken.push(...asleep);
  }
  throw new EgressError('try-again', `The nftables ruleset was changed by somebody else ${tries} times in a row`);
}

/** Makes changes that hold whatever else is there. Needs the store's lock. */
export const changeAnyhow = (machine: Machine, changes: readonly Change[]): Promise<Decision<undefined>> =>
  change(
    machine,
    async () => ({ state: undefined, generation: await machine.host.generation() }),
    () => changes,
  );

/**
 * The changes that were made; `undefined` when somebody else came between. Pods are steered without marks at interfaces, so a
 * kernel that has none is told of once, and is no error.
 */
export async function carriedOut(
  machine: Machine,
  changes: readonly Change[],
  generation: number,
): Promise<Pick<Decision<unknown>, 'changes' | 'later'> | undefined> {
  try {
    if (changes.length > 0) await machine.before?.();
    const later = await machine.host.apply(changes, generation);
    return later === undefined ? undefined : { changes, later };
  } catch (error) {
    if (!(error instanceof EgressError) || error.code !== 'cannot-mark') throw error;
    tellUnmarked(machine, error);
    return { changes: changes.filter((change) => !isMarking(change)), later: undefined };
  }
}

function tellUnmarked({ store, log }: Machine, { message }: EgressError): void {
  const node = store.loadNode();
  if (node === undefined || node.unmarked) return;
  store.saveNode({ ...node, unmarked: true });
  log.warn({ error: message }, 'pods are steered, but what a flushed ruleset lets through is not held back');
}
