import { canonicalJson } from '../base/canonical.ts';
import type { Configuration } from '../config/configuration.ts';
import type { ReadFile } from '../config/read.ts';
import type { Log, Machine } from '../node/machine.ts';
import { outdatedBy } from '../report/outdated.ts';
import { type Adoption, adoptAll } from '../runtimes/adopt.ts';
import { recordVersion } from '../store/migration.ts';
import type { AgentRecord, ExitGateways } from '../store/record.ts';
import { type ConfiguredPlaces, readConfigured } from './configured.ts';
import { Journal, type Since } from './journal.ts';
import { isLeaving, leaveAfterLastPod } from './leaving.ts';
import { mendedIn, type Round, round } from './round.ts';

/** Where the agent finds things. */
export interface AgentPlaces extends ConfiguredPlaces {
  /** Where the plugin keeps its state. */
  readonly dataDir: string;
  /** Where libcni keeps what it did. */
  readonly resultsDir: string;
}

/** What the agent has around it. */
export interface AgentSurroundings {
  readonly readFile: ReadFile;
  openMachine(options: { readonly dataDir: string }): Promise<Machine & Disposable>;
  readonly log: Log;
  /** Takes an error that does not end the agent, once, with its consequence. */
  report(error: unknown, consequence: string): void;
  /** What this process may not do, of all that keeping a node takes, in sentences. */
  findMissingRights(): readonly string[];
  /** Milliseconds of a clock that does not go back. */
  now(): number;
  /** Takes each round that succeeded, for whoever counts them. */
  observe?(seen: Seen): Promise<void>;
  /** What is known of the gateways of exits. */
  gateways?(): readonly ExitGateways[];
}

/** A round, and what it was like. */
export interface Seen {
  readonly round: Round;
  /** The configuration that it went by. */
  readonly configuration: Configuration | undefined;
  readonly seconds: number;
  /** The configuration could be read. */
  readonly isReadable: boolean;
  /** What the process may not do, of all that keeping a node takes, in sentences. */
  readonly missingRights: readonly string[];
  /** What was changed was changed because the configuration was. */
  readonly isApplied: boolean;
}

/** The state from one round to the next. */
interface Memory {
  readonly startedAt: string;
  /** Whether egress leaves this node, or has left it. */
  isLeaving: boolean;
  /** The last configuration that could be read. */
  configuration?: Configuration;
  /** When the first notification came behind the last look that found all well, and when that look began. */
  noticed?: number | undefined;
  fine?: number;
  mended?: AgentRecord['mended'];
  /** The text of the last error of each kind that was reported, so that none is said twice. */
  readonly said: Map<'configuration' | 'record', string>;
}

/** The agent of a node: it repeats one {@link round}, says what it did, and remembers it for `egress status`. */
export class Agent {
  readonly #places: AgentPlaces;
  readonly #surroundings: AgentSurroundings;
  readonly #journal: Journal;
  readonly #memory: Memory = { startedAt: new Date().toISOString(), isLeaving: false, said: new Map() };

  constructor(places: AgentPlaces, surroundings: AgentSurroundings) {
    this.#places = places;
    this.#surroundings = surroundings;
    this.#journal = new Journal(surroundings.log);
  }

  /** The kernel told of a change that may concern us. */
  readonly notice = (): void => {
    this.#memory.noticed ??= this.#surroundings.now();
  };

  /** One round. A socket that had an error is of no use any more, so each round has its own. */
  async look(): Promise<Round> {
    const began = this.#surroundings.now();
    const before = this.#memory.configuration;
    using machine = await this.#openMachine();
    await this.#leave(machine);
    const startsNothing = this.#memory.isLeaving || !this.#readConfiguration();
    const { configuration } = this.#memory;
    const adopt = async () => (startsNothing ? [] : await this.#adopt(machine));
    const missingRights = this.#surroundings.findMissingRights();
    const done = withRights(await round({ machine, configuration, adopt, startsNothing }), missingRights);
    const isApplied = before !== undefined && isOther(before, configuration);
    const [seconds, isReadable] = [(this.#surroundings.now() - began) / 1000, !this.#memory.said.has('configuration')];
    await this.#surroundings.observe?.({ round: done, configuration, seconds, isReadable, missingRights, isApplied });
    const [since, isFirst] = [this.#since(), this.#memory.fine === undefined];
    this.#remember(machine, done, began); // before it is said: whoever reads the log may ask "egress status" at once
    this.#journal.tell(done, since, isApplied);
    if (isFirst) this.#surroundings.log.info({}, 'has looked at all of the node once');
    return done;
  }

  async #openMachine(): Promise<Machine & Disposable> {
    const { openMachine, log } = this.#surroundings;
    const machine = await openMachine({ dataDir: this.#places.dataDir });
    return { host: machine.host, store: machine.store, log, [Symbol.dispose]: () => machine[Symbol.dispose]() };
  }

  /** Whether it could be read; else the last good one stays in force. */
  #readConfiguration(): boolean {
    try {
      this.#memory.configuration = readConfigured(this.#places, this.#surroundings.readFile);
      this.#memory.said.delete('configuration');
      return true;
    } catch (error) {
      const inForce = this.#memory.configuration
        ? 'The last good configuration stays in force.'
        : 'Until then the node is kept as its records say.';
      this.#once('configuration', error, inForce);
      return false;
    }
  }

  /** What this node serves to others goes with its own last pod, when egress leaves it. */
  async #leave(machine: Machine): Promise<void> {
    const { readFile, log } = this.#surroundings;
    const before = this.#memory.isLeaving;
    this.#memory.isLeaving = isLeaving(before, this.#places.confDir, readFile);
    if (this.#memory.isLeaving && !before) log.info({}, 'egress leaves this node: the agent begins nothing any more');
    const left = this.#memory.isLeaving ? await leaveAfterLastPod(machine) : [];
    if (left.length > 0) log.info({ exits: left }, 'serves no exit to others any more: egress leaves this node');
  }

  #adopt(own: Machine): Promise<readonly Adoption[]> {
    const { confDir, resultsDir, dataDir } = this.#places;
    const { readFile, openMachine } = this.#surroundings;
    const whyOutdated = outdatedBy(own, confDir, readFile);
    const opened = async (options: { readonly dataDir: string }) =>
      options.dataDir === dataDir ? { ...own, [Symbol.dispose]: () => {} } : await openMachine(options);
    const options = { confDir, resultsDir, outdated: true } as const;
    return adoptAll(options, { readFile, openMachine: opened, whyOutdated: (_, record) => whyOutdated(record) });
  }

  #since(): Since {
    const { noticed, fine } = this.#memory;
    const now = this.#surroundings.now();
    const ago = (time: number | undefined) => (time === undefined ? undefined : now - time);
    return { noticed: ago(noticed), fine: ago(fine) };
  }

  #remember({ store }: Machine, round: Round, began: number): void {
    const memory = this.#memory;
    const { failures } = round;
    const mended = mendedIn(round);
    const at = new Date().toISOString();
    if (mended.length > 0) memory.mended = { at, what: mended };
    memory.noticed = undefined;
    memory.fine = began;
    try {
      const { startedAt } = memory;
      const last = memory.mended ?? store.loadAgent()?.mended;
      const gateways = this.#surroundings.gateways?.() ?? [];
      store.saveAgent({
        ...{ version: recordVersion, startedAt, lookedAt: at, failures },
        ...(last && { mended: last }),
        ...(gateways.length > 0 && { gateways }),
      });
      memory.said.delete('record');
    } catch (error) {
      this.#once('record', error, 'The agent goes on, and "egress status" does not know what it does.');
    }
  }

  #once(kind: 'configuration' | 'record', error: unknown, consequence: string): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#memory.said.get(kind) === text) return;
    this.#memory.said.set(kind, text);
    this.#surroundings.report(error, consequence);
  }
}

/** A right that is missing is a failure of each round, also of those that would not have needed it. */
const withRights = (done: Round, missingRights: readonly string[]): Round => ({
  ...done,
  failures: [...missingRights, ...done.failures],
});

const isOther = (a: unknown, b: unknown): boolean => canonicalJson(a) !== canonicalJson(b);
