import type { Address } from '../base/address.ts';
import type { Segment, Surroundings } from './surroundings.ts';

/** Milliseconds after which addresses that came are announced again: nobody acknowledges an announcement. */
const repeats = [100, 1_000, 5_000];
/** Milliseconds between two announcements against somebody else's, and from his to ours, who is still at it. */
const defence = 1_000;
const afterHis = 150;

/** The addresses of a Virtual Router on this node's interface: given, announced, taken away, one step after the other. */
export class Holding {
  readonly #device: string;
  readonly #around: Surroundings;
  readonly #segment: () => Segment | undefined;
  #held: readonly Address[] = [];
  #work: Promise<void> = Promise.resolve();
  #announceAt: readonly number[] = [];
  #defendedAt = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;
  #pending = 0;

  constructor(device: string, around: Surroundings, segment: () => Segment | undefined) {
    this.#device = device;
    this.#around = around;
    this.#segment = segment;
  }

  /** Addresses that are on the interface already. */
  found(addresses: readonly Address[]): Promise<void> {
    return this.after(() => {
      this.#held = addresses;
    });
  }

  /** Whether any address is on the interface, as far as this process put it there or found it. */
  get holds(): boolean {
    return this.#held.length > 0;
  }

  /** Something is under way. */
  get isBusy(): boolean {
    return this.#pending > 0;
  }

  /** Why the kernel did not let the addresses be as they should. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** These addresses, and no others, are here from now on; they are announced. */
  take(addresses: readonly Address[]): Promise<void> {
    return this.after(async () => {
      const others = this.#held.filter((address) => !addresses.includes(address));
      this.#held = addresses;
      await this.#tried(async () => {
        if (others.length > 0) await this.#around.take(this.#device, others);
        await this.#around.give(this.#device, addresses);
      });
      this.#segment()?.announce(addresses);
      this.#around.hint();
      this.#announceAt = repeats.map((delay) => this.#around.now() + delay);
    });
  }

  /** None is here any more. */
  release(): Promise<void> {
    return this.after(async () => {
      const before = this.#held;
      this.#held = [];
      this.#announceAt = [];
      if (before.length > 0) await this.#tried(() => this.#around.take(this.#device, before));
    });
  }

  async #tried(change: () => Promise<void>): Promise<void> {
    try {
      await change();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#around.changed();
    }
  }

  /** Somebody else claims the addresses, or did until a moment ago: the stations hear where they are, now and after him. */
  defend(now: number): void {
    if (now < this.#defendedAt + defence) return;
    this.#defendedAt = now;
    this.#segment()?.announce(this.#held);
    this.#announceAt = [now + afterHis, ...this.#announceAt].sort((a, b) => a - b);
  }

  /** When the next announcement is due. */
  get next(): number | undefined {
    return this.#announceAt[0];
  }

  /** Announces what is due. */
  tick(now: number): void {
    const due = this.#announceAt.filter((time) => time <= now);
    if (due.length === 0) return;
    this.#announceAt = this.#announceAt.filter((time) => time > now);
    this.#segment()?.announce(this.#held);
  }

  /** Does something behind all that was begun. */
  after(action: () => void | Promise<void>): Promise<void> {
    this.#pending++;
    this.#work = this.#work.then(action).finally(() => {
      this.#pending--;
    });
    return this.#work;
  }

  /** Resolves when nothing is under way. */
  settled(): Promise<void> {
    return this.#work;
  }
}
