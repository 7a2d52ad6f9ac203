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
}

/**
 * Looks, decides and changes; when somebody else changed the ruleset between the look and the change, all over again.
 * Returns the decision that was carried out. Needs the store's lock.
 */
export async function change<T>(
  { host, log }: Machine,
  look: () => Promise<Observed<T>>,
  decide: (seen: T) => readonly Change[] | Promise<readonly Change[]>,
): Promise<Decision<T>> {
  const woken: Change[] = [];
  for (let tried = 1; tried <= tries; tried++) {
    const { state: seen, generation } = await look();
    const decided = await decide(seen);
    // The kernel takes no new base chain beside a change of its table's flags: that goes alone, and first.
    const asleep = decided.filter(isOfFlags);
    const changes = asleep.length > 0 ? asleep : [...decided];
    log.debug(() => ({ tried, commands: printChanges(changes) }), 'changing');
    if (!(await host.apply(changes, generation))) continue;
    if (asleep.length === 0) return { seen, changes: [...woken, ...changes] };
    woken.push(...asleep);
  }
  throw new EgressError('try-again', `The nftables ruleset was changed by somebody else ${tries} times in a row`);
}
