import { type FastPath, fastPathOf } from '../datapath/fast-path-plan.ts';
import type { Log, Machine } from '../node/machine.ts';
import type { FastPathRecord } from '../store/record.ts';
import type { Child, StartChild } from './child.ts';

/** What the agent's side of the fast path has around it. */
export interface FastPathSurroundings {
  readonly log: Log;
  /** Starts its process. */
  readonly start: StartChild;
  /** It is on now and was off, or the other way round. */
  changed(): void;
}

/**
 * The agent's side of the fast path: it tells the process beside it which pods and interfaces it is for. That process lives while a
 * pod uses an exit that has one.
 */
export class FastPathKeeper {
  readonly #around: FastPathSurroundings;
  #child: Child | undefined;
  #wanted: FastPath | undefined;
  /** What the process was told last; empty while it is to have nothing. */
  #told = '';
  #status: FastPathRecord | undefined;
  /** Orders that the process was given, and those that it has carried out, since it began. */
  #given = 0;
  #done = 0;
  #isOff = true;
  #off: (() => void) | undefined;
  #isImpossible = false;

  constructor(around: FastPathSurroundings) {
    this.#around = around;
  }

  /** Whether it is on; `undefined` while no pod uses it. */
  get status(): FastPathRecord | undefined {
    return this.#wanted === undefined ? undefined : (this.#status ?? { isOn: false, why: 'it is about to begin' });
  }

  /** Behind a round: what it is for now. */
  async follow({ store }: Machine): Promise<void> {
    const node = store.loadNode();
    const isAny = node?.exits.some(({ fastPath }) => fastPath) === true;
    const pods = isAny ? store.list().map((pod) => ({ ...pod, exits: pod.outline.map(({ exit }) => exit) })) : [];
    this.#wanted = node && fastPathOf(node, pods);
    if (this.#wanted === undefined) this.#isImpossible = false;
    if (this.#wanted === undefined || this.#isImpossible) return await this.end();
    const text = JSON.stringify(this.#wanted);
    if (text === this.#told) return;
    this.#told = text;
    this.#child ??= this.#around.start(
      (told) => this.#hear((told as { readonly fast: Told }).fast),
      (problem) => {
        [this.#given, this.#done, this.#isOff] = [1, 0, true]; // the next process is given the last order alone
        this.#status = { isOn: false, why: `its process ended: ${problem}` };
        this.#around.log.warn({ problem }, 'the process of the fast path ended; another one begins');
      },
    );
    this.#want(this.#wanted);
  }

  #want(wanted: FastPath | null): void {
    this.#given++;
    this.#child?.want({ fast: wanted });
  }

  /**
   * Before the agent changes something: returns when no connection is in the flowtable any more, so that none goes on by what was
   * before. It begins again behind the round.
   */
  async hold(): Promise<void> {
    if (this.#child === undefined || this.#told === '') return;
    this.#told = '';
    this.#want(null);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#off = resolve;
    const timer = setTimeout(resolve, patience);
    await promise;
    clearTimeout(timer);
    this.#off = undefined;
    if (!this.#isHeld) await this.end(); // it hangs
  }

  get #isHeld(): boolean {
    return this.#isOff && this.#done === this.#given;
  }

  /** All connections go the ordinary way. */
  async end(): Promise<void> {
    const ending = this.#child;
    this.#child = undefined;
    this.#told = '';
    await ending?.stop('the fast path ends');
    [this.#given, this.#done, this.#isOff] = [0, 0, true];
  }

  #hear({ isOn, why, isImpossible, orders }: Told): void {
    [this.#done, this.#isOff] = [orders, !isOn];
    if (this.#isHeld) this.#off?.();
    if (isImpossible) this.#isImpossible = true;
    if (this.#told === '') return; // it is held, or ends
    const before = this.#status;
    this.#status = { isOn, ...(why !== undefined && { why }) };
    if (before?.isOn === isOn && before.why === why) return;
    const said = isOn ? 'the fast path is on' : 'the fast path is off';
    this.#around.log.info({ isOn, ...(why !== undefined && { why }) }, said);
    this.#around.changed();
  }
}

/** Milliseconds for the process to take its table away, before it is ended. */
const patience = 1_000;

/** What the process tells. */
type Told = FastPathRecord & { readonly isImpossible?: true; readonly orders: number };
