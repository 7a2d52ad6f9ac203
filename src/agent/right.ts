import { EgressError } from '../base/errors.ts';
import { pause } from '../loop/watch.ts';

/** What a right has around it. */
export interface RightSurroundings {
  /** Locks a file until it is disposed of; `undefined` when somebody else has it. Throws where it cannot be locked. */
  claim(path: string): Disposable | undefined;
  /** Takes what is to be told, each thing once, with its consequence. */
  report(error: unknown, consequence: string): void;
  /** Called when another one turns out to have it, before it is waited for. */
  waits?(): void;
  /** Called when it is had, or cannot be asked for. */
  began?(): void;
  /** Milliseconds between two questions while another one has it. */
  readonly pause: number;
}

const waits = 'This one waits, and takes over when the other ends.';
const goesOn = 'The agent goes on without its lock, and tries again: what it cannot write down is not known to others.';

/**
 * The right to look after a node: one process has it at a time, which holds a file. Where the file cannot be locked, as on
 * a disk that is full or read-only, nobody is kept from looking after the node; it is asked for again each time.
 */
export class Right implements Disposable {
  readonly #path: string;
  readonly #surroundings: RightSurroundings;
  #own: Disposable | undefined;
  #said: string | undefined;
  #isAtWork = false;

  constructor(path: string, surroundings: RightSurroundings) {
    this.#path = path;
    this.#surroundings = surroundings;
  }

  /** Whether this process has it, and no other can. */
  get isHeld(): boolean {
    return this.#own !== undefined;
  }

  /** Waits while another process has it. False when the signal is aborted before. */
  async have(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (this.#isFree()) return true;
      await pause(this.#surroundings.pause, signal);
    }
    return false;
  }

  #isFree(): boolean {
    try {
      this.#own ??= this.#surroundings.claim(this.#path);
      if (this.#own === undefined) return this.#waits();
      this.#said = undefined;
    } catch (error) {
      this.#tell(error, goesOn);
    }
    if (!this.#isAtWork) this.#surroundings.began?.();
    this.#isAtWork = true;
    return true;
  }

  #waits(): false {
    this.#isAtWork = false;
    this.#surroundings.waits?.();
    const other = `Another agent looks after this node: it has locked ${this.#path}`;
    this.#tell(new EgressError('try-again', other), waits);
    return false;
  }

  #tell(error: unknown, consequence: string): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#said !== text) this.#surroundings.report(error, consequence);
    this.#said = text;
  }

  [Symbol.dispose](): void {
    this.#own?.[Symbol.dispose]();
    this.#own = undefined;
  }
}
