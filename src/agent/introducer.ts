import type { Address } from '../base/address.ts';
import { introduceTo } from '../gateway/flows.ts';
import type { AgentSurroundings } from './agent.ts';

/** An exit, the gateway that packets are sent to, and whether that one answers. */
export interface UsedGateway {
  readonly exit: string;
  readonly inUse: Address;
  readonly answers: boolean;
}

/** What the introducer has around it. */
export interface IntroducerSurroundings extends Pick<AgentSurroundings, 'openMachine' | 'report'> {
  readonly dataDir: string;
}

/**
 * Remembers which gateways know the connections of this node's pods. A round may lead an exit to a gateway that did not serve it
 * yet, since elections are faster than rounds: what it was told of connections then is lost. So it is told again when it answers.
 */
export class Introducer {
  readonly #surroundings: IntroducerSurroundings;
  readonly #knowing = new Map<string, Address>();
  #hasBegun = false;
  #work: Promise<void> = Promise.resolve();

  constructor(surroundings: IntroducerSurroundings) {
    this.#surroundings = surroundings;
  }

  /** These are the exits now. What used its gateway before we looked needs no introduction. */
  follow(all: readonly Omit<UsedGateway, 'answers'>[]): void {
    const names = new Set(all.map(({ exit }) => exit));
    for (const name of this.#knowing.keys()) if (!names.has(name)) this.#knowing.delete(name);
    if (!this.#hasBegun) for (const { exit, inUse } of all) this.#knowing.set(exit, inUse);
    this.#hasBegun = true;
  }

  /** The gateway was told of the connections by whoever led the exit there. */
  told(exit: string, gateway: Address): void {
    this.#knowing.set(exit, gateway);
  }

  /** Tells those gateways that answer now and do not know yet. */
  look(all: readonly UsedGateway[]): void {
    const due = all.filter((one) => one.answers && this.#isUntold(one));
    if (due.length === 0) return;
    for (const { exit, inUse } of due) this.#knowing.set(exit, inUse);
    this.#work = this.#introduce(new Set(due.map(({ exit }) => exit)));
  }

  #isUntold({ exit, inUse }: Omit<UsedGateway, 'answers'>): boolean {
    return this.#knowing.get(exit) !== inUse;
  }

  /** Whether some gateway waits to be told. */
  isWaiting(all: readonly UsedGateway[]): boolean {
    return all.some((one) => this.#isUntold(one));
  }

  /** Resolves when nothing is being told. */
  settled(): Promise<void> {
    return this.#work;
  }

  async #introduce(exits: ReadonlySet<string>): Promise<void> {
    const { openMachine, dataDir, report } = this.#surroundings;
    try {
      using machine = await openMachine({ dataDir });
      await introduceTo(machine, exits);
    } catch (error) {
      report(error, 'Connections of pods that only listen may wait for their gateway.');
    }
  }
}
