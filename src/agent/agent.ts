import { isEqual } from '../base/canonical.ts';
import { asEgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { ReadFile } from '../config/read.ts';
import { stateOf } from '../files/file.ts';
import type { Pace } from '../loop/pace.ts';
import { Seldom } from '../loop/seldom.ts';
import type { Log, Machine } from '../node/machine.ts';
import type { Adoption } from '../runtimes/adopt.ts';
import type { Chains } from '../runtimes/conflists.ts';
import { recordVersion } from '../store/migration.ts';
import type { AgentRecord, ExitGateways } from '../store/record.ts';
import { adoptOn } from './adoption.ts';
import type { Cluster } from './cluster.ts';
import { type Configured, ConfiguredNode, type ConfiguredPlaces } from './configured.ts';
import type { Elector } from './elector.ts';
import type { FastPathKeeper } from './fast-path.ts';
import { Journal, type Since } from './journal.ts';
import type { LabelSource } from './label-answers.ts';
import { configurationOf, isLeaving, leaveAfterLastPod } from './leaving.ts';
import { Rest } from './rest.ts';
import { leadExits, mendedIn, type Round, round } from './round.ts';

/** Where the agent finds things. */
export interface AgentPlaces extends ConfiguredPlaces {
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
  /** Milliseconds of a processor that this thread had so far. Absent: those of a clock. */
  worked?(): number;
  /** Takes each round that came to an end, for whoever counts them. */
  observe?(seen: Seen): Promise<void>;
  /** Elects who serves exits that have this node among their gateways. */
  readonly elector?: Elector;
  /** Keeps the fast path. */
  readonly fastPath?: FastPathKeeper;
  /** Keeps the objects of the cluster. */
  readonly cluster?: Cluster;
  /** What is known of the gateways of exits. */
  gateways?(): readonly ExitGateways[];
  /** Who knows the labels of pods. */
  readonly labels?: LabelSource;
  /** How fast what can wait goes on beside others. */
  readonly pace?: Pace;
  /** Takes the path of the policy file that is in force, at the beginning of each round. */
  follow?(policyFile: string): void;
}

/** A round, and what it was like. */
export interface Seen {
  readonly round: Round;
  /** The configuration that it went by. */
  readonly configuration: Configuration | undefined;
  readonly seconds: number;
  /** The configuration could be read, or none is needed any more. */
  readonly isReadable: boolean;
  /** What the process may not do, of all that keeping a node takes, in sentences. */
  readonly missingRights: readonly string[];
  /** What was changed was changed because the configuration was. */
  readonly isApplied: boolean;
  readonly chains: Chains;
}

/** The state from one round to the next. */
interface Memory {
  readonly startedAt: string;
  /** Whether egress leaves this node, or has left it. */
  isLeaving: boolean;
  /** The last configuration that could be read. */
  configuration?: Configuration | undefined;
  /** The configuration that the node was made to fit last. */
  applied?: Configuration | undefined;
  /** Whether the last round began nothing. */
  startsNothing: boolean;
  /** When the first notification came behind the last look that found all well, and when that look and the last glance began. */
  noticed?: number | undefined;
  fine?: number;
  glanced?: number;
  mended?: AgentRecord['mended'];
  /** The text of the last error of each kind that was reported, so that none is said twice. */
  readonly said: Map<'configuration' | 'record', string>;
  /** See {@link round}. */
  readonly ending: Seldom;
}

/** The agent of a node: it repeats one {@link round}, says what it did, and remembers it for `egress status`. */
export class Agent {
  readonly #places: AgentPlaces;
  readonly #surroundings: AgentSurroundings;
  readonly #configured: ConfiguredNode;
  readonly #journal: Journal;
  readonly #rest = new Rest();
  readonly #memory: Memory;

  constructor(places: AgentPlaces, surroundings: AgentSurroundings) {
    this.#places = places;
    this.#surroundings = surroundings;
    this.#configured = new ConfiguredNode(places, surroundings.readFile);
    this.#journal = new Journal(surroundings.log);
    const ending = new Seldom(surroundings.now, 20); // a twentieth of a core at most
    this.#memory = {
      startedAt: new Date().toISOString(),
      isLeaving: false,
      startsNothing: true,
      said: new Map(),
      ending,
    };
  }

  /** The kernel told of a change that may concern us. */
  readonly notice = (): void => {
    this.#memory.noticed ??= this.#surroundings.now();
  };

  /**
   * One round, told and written down. A socket that had an error is of no use any more, so each round has its own.
   *
   * @param isRung somebody knows of a change; else a glance may do, see {@link Rest}
   */
  async look(isRung = true): Promise<Round> {
    const began = this.#surroundings.now();
    this.#surroundings.pace?.begin();
    if (isRung) await this.#surroundings.pace?.giveWay(); // it was an ADD that rang, most of the time, and the next one follows it
    using machine = await this.#openMachine();
    try {
      const seen = await this.#seen(machine, began, isRung);
      await this.#surroundings.observe?.(seen);
      this.#tell(machine, seen, began);
      this.#surroundings.pace?.ended(began);
      return seen.round;
    } catch (error) {
      this.#writeDown(machine, [asEgressError(error).message]);
      throw error;
    }
  }

  /** One round of which nobody is told. */
  async lookOnce(): Promise<Seen> {
    using machine = await this.#openMachine();
    return await this.#seen(machine, this.#surroundings.now(), true);
  }

  /** Exits that the elections have moved are led at once, beside a round that may be under way. */
  async lead(): Promise<void> {
    using machine = await this.#openMachine();
    await this.#lead(machine);
  }

  async #lead(machine: Machine): Promise<void> {
    const { configuration, startsNothing, isLeaving } = this.#memory;
    const mayElect = !startsNothing || (isLeaving && machine.store.hasAttachments());
    const isMoved = await this.#surroundings.elector?.prepare(machine, configuration, mayElect);
    if (isMoved !== true) return;
    await leadExits({ machine, configuration, startsNothing }).catch(() => {}); // the round behind it fails as well, and tells why
  }

  async #openMachine(): Promise<Machine & Disposable> {
    const { openMachine, log, fastPath } = this.#surroundings;
    const machine = await openMachine({ dataDir: this.#places.dataDir });
    return {
      ...{ host: machine.host, store: machine.store, log },
      ...(fastPath && { before: () => fastPath.hold() }),
      [Symbol.dispose]: () => machine[Symbol.dispose](),
    };
  }

  async #seen(machine: Machine, began: number, isRung: boolean): Promise<Seen> {
    const memory = this.#memory;
    const configured = this.#configured.look(machine.store);
    this.#surroundings.follow?.(configured.policyFile);
    await this.#leave(machine, configured.chains);
    if (!memory.isLeaving) this.#surroundings.cluster?.prepare(machine.store, configured);
    const isReadable = memory.isLeaving ? this.#needsNone(machine, configured) : this.#readConfiguration(configured);
    const startsNothing = memory.isLeaving || !isReadable;
    const { configuration } = memory;
    if (!startsNothing) await this.#surroundings.labels?.prepared?.(configuration);
    const adopt = async () => (startsNothing ? [] : await this.#adopt(machine, configured));
    const missingRights = this.#surroundings.findMissingRights();
    memory.startsNothing = startsNothing;
    await this.#lead(machine);
    const inputs = { configuration, files: this.#filesNow(machine, configured, startsNothing) };
    const mayGlance = !isRung && this.#rest.isAsBefore(inputs, began);
    const { ending } = memory;
    const done = withRights(
      await round({ machine, configuration, adopt, startsNothing, mayGlance, ending }),
      missingRights,
    );
    this.#rest.ended(done, inputs, began);
    this.#surroundings.elector?.begin();
    await this.#surroundings.fastPath?.follow(machine);
    const isOther = memory.applied !== undefined && !isEqual(memory.applied, configuration);
    const isApplied = done.isConfigured && isOther;
    if (done.isConfigured && done.isWhole) memory.applied = configuration;
    const seconds = (this.#surroundings.now() - began) / 1000;
    return { round: done, configuration, seconds, isReadable, missingRights, isApplied, chains: configured.chains };
  }

  /** Before a round: what changes during it is another state. */
  #filesNow({ store }: Machine, { chains }: Configured, startsNothing: boolean): string | undefined {
    const [records, results] = [store.state, stateOf(this.#places.resultsDir)];
    if (records === undefined || results === undefined) return undefined;
    return JSON.stringify([records, results, [...chains.own], startsNothing]);
  }

  /**
   * Nobody asks for a configuration once egress leaves: that it cannot be read is over. An agent that has begun since goes by what is
   * still there, if it is what the node was set up by: pods that run follow their gateways until they end.
   */
  #needsNone({ store }: Machine, configured: Configured): true {
    const memory = this.#memory;
    memory.configuration ??= configurationOf(store.loadNode(), configured);
    memory.said.delete('configuration');
    return true;
  }

  /** Whether it could be read; else the last good one stays in force. */
  #readConfiguration(configured: Configured): boolean {
    try {
      this.#memory.configuration = configured.whole();
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

  /** What makes this node a gateway goes with its own last pod, when egress leaves it. */
  async #leave(machine: Machine, chains: Chains): Promise<void> {
    const { log } = this.#surroundings;
    const before = this.#memory.isLeaving;
    this.#memory.isLeaving = isLeaving(before, chains);
    if (this.#memory.isLeaving && !before) log.info({}, 'egress leaves this node: the agent begins nothing any more');
    if (this.#memory.isLeaving && !machine.store.hasAttachments()) await this.#stopElections(machine);
    const left = this.#memory.isLeaving ? await leaveAfterLastPod(machine) : undefined;
    if (left !== undefined) log.info({ exits: left }, 'serves no exit to others any more: egress leaves this node');
  }

  /** The other gateways have the addresses before they go here. */
  async #stopElections({ store }: Machine): Promise<void> {
    await this.#surroundings.elector?.stop('egress leaves this node');
    store.agent.saveElections({});
  }

  #adopt(own: Machine, configured: Configured): Promise<readonly Adoption[]> {
    return adoptOn(own, this.#places, this.#surroundings, configured);
  }

  #tell(machine: Machine, { round: done, isApplied }: Seen, began: number): void {
    const [since, isFirst] = [this.#since(done), this.#memory.fine === undefined];
    this.#remember(machine, done, began); // before it is said: whoever reads the log may ask "egress status" at once
    this.#journal.tell(done, since, isApplied);
    if (isFirst && done.isWhole) this.#surroundings.log.info({}, 'has looked at all of the node once');
  }

  /** What a glance found was right at the glance before. */
  #since({ glance }: Round): Since {
    const { noticed, fine: looked, glanced } = this.#memory;
    const fine = glance === 'found' ? (glanced ?? looked) : looked;
    const now = this.#surroundings.now();
    const ago = (time: number | undefined) => (time === undefined ? undefined : now - time);
    return { noticed: ago(noticed), fine: ago(fine) };
  }

  #remember(machine: Machine, done: Round, began: number): void {
    const memory = this.#memory;
    const mended = mendedIn(done);
    if (mended.length > 0) memory.mended = { at: new Date().toISOString(), what: mended };
    if (done.glance === 'enough') memory.glanced = began;
    else if (done.isWhole) Object.assign(memory, { noticed: undefined, fine: began, glanced: began });
    this.#writeDown(machine, done.failures);
  }

  #writeDown({ store }: Machine, failures: readonly string[]): void {
    const memory = this.#memory;
    try {
      const { startedAt } = memory;
      const last = memory.mended ?? store.agent.load()?.mended;
      const lookedAt = new Date().toISOString();
      const gateways = this.#surroundings.gateways?.() ?? [];
      const fastPath = this.#surroundings.fastPath?.status;
      store.agent.save({
        ...{ version: recordVersion, startedAt, lookedAt, failures },
        ...(last && { mended: last }),
        ...(gateways.length > 0 && { gateways }),
        ...(fastPath && { fastPath }),
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
