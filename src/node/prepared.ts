import { isEqual } from '../base/canonical.ts';
import type { Decided } from './decide.ts';
import type { Machine } from './machine.ts';
import { lookAheadOf, type Together } from './running-pods.ts';
import type { Ahead } from './set-up.ts';

type Staged = NonNullable<ReturnType<Machine['store']['stage']>>;

/**
 * A change of pods that run, decided before the store's lock is taken, with their records on the disk. Under the lock it is asked
 * for whether anybody changed what it was decided by: the records, and the ruleset by its generation.
 */
export class Prepared implements Disposable {
  readonly decided: Decided;
  readonly ahead: Ahead;
  readonly staged: Staged | undefined;
  readonly #gateways: unknown;

  private constructor(decided: Decided, ahead: Ahead, gateways: unknown, staged: Staged | undefined) {
    this.decided = decided;
    this.ahead = ahead;
    this.#gateways = gateways;
    this.staged = staged;
  }

  /**
   * `undefined` where the pods of others, the node's mark or pods without anything are part of it, and where it fails: under the
   * lock it may not, or is told.
   */
  static async of(
    machine: Machine,
    decide: () => Promise<Decided>,
    howOf: (decided: Decided) => Together,
  ): Promise<Prepared | undefined> {
    try {
      const gateways = machine.store.loadGateways();
      const decided = await decide();
      const { known, node, others, gone, members, left } = decided;
      const [first, ...fellows] = members;
      const isOfOthers = [...others, ...members.map(({ record }) => record)].some(({ ports }) => ports !== undefined);
      if (first === undefined || isOfOthers || gone.length + left.length > 0) return undefined;
      if (known?.fwmark !== node.fwmark) return undefined;
      const ahead = await lookAheadOf(machine, node, [first, ...fellows], howOf(decided));
      const staged = machine.store.stage(members.map(({ record }) => record));
      return new Prepared(decided, ahead, gateways, staged);
    } catch {
      return undefined;
    }
  }

  /** Whether all that it was decided by is still so. Needs the store's lock. */
  async holds({ host, store }: Machine): Promise<boolean> {
    const { known, members } = this.decided;
    return (
      (await host.generation()) === this.ahead.generation &&
      isEqual(store.loadNode(), known) &&
      isEqual(store.loadGateways(), this.#gateways) &&
      members.every(({ request, previous }) => isEqual(store.load(request.attachment), previous))
    );
  }

  [Symbol.dispose](): void {
    this.staged?.[Symbol.dispose]();
  }
}
