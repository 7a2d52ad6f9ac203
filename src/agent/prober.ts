import type { Address } from '../base/address.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Asker, Question } from '../datapath/host.ts';
import type { Link } from '../datapath/objects.ts';
import { tunnelMac } from '../datapath/tunnel.ts';
import * as election from '../election/probe.ts';
import { followGateways, type Move } from '../gateway/move.ts';
import type { Machine } from '../node/machine.ts';
import type { ExitGateways } from '../store/record.ts';
import type { AgentSurroundings } from './agent.ts';
import { Introducer, type UsedGateway } from './introducer.ts';
import { PendingQuestions } from './pending.ts';
import { linkTo, probedExits, stateOf } from './probed-exits.ts';

/** What the prober has around it. */
export interface ProberSurroundings extends Pick<AgentSurroundings, 'openMachine' | 'log' | 'report' | 'now'> {
  readonly dataDir: string;
  /** A gateway began to answer, or ceased to, or another one is used now. */
  changed(states: readonly ExitGateways[]): void;
}

/** An exit that is asked for. */
interface Asked {
  readonly probe: election.Probe;
  /** The exit's address that is asked for, and the node's to which the answers come. */
  readonly address: Address;
  readonly source: Address;
  readonly state: ExitGateways;
}

/**
 * Milliseconds between two looks for answers while one of them decides. Else the next question is early enough; and while a
 * gateway is silent the kernel tells of answers as soon as they come, which takes no time of a processor while none do.
 */
const lookPause = 5;
/** Milliseconds for which an agent that ends waits for gateways to answer. */
const patience = 3_000;
/** Milliseconds before something that failed is tried again. */
const retryPause = 1_000;

/**
 * Asks for each exit of this node's pods whether its gateway holds the exit's address, and follows the address to whoever
 * has it. It goes on while rounds of the agent are under way. Where nobody answers everything stays, and is dropped.
 */
export class Prober implements Disposable {
  readonly #surroundings: ProberSurroundings;
  readonly #asked = new Map<string, Asked>();
  readonly #introducer: Introducer;
  readonly #pending = new PendingQuestions();
  #configuration: Configuration | undefined;
  #own: Address | undefined;
  #opened: { readonly machine: Machine & Disposable; readonly asker: Asker; readonly underlay: Link } | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Goes on at once; `undefined` while something is under way. */
  #wake: (() => void) | undefined;
  #isMoving = false;
  /** Something is new that nobody was told of. */
  #isUntold = false;
  #retryAt = 0;
  #isOver = false;

  constructor(surroundings: ProberSurroundings) {
    this.#surroundings = surroundings;
    this.#introducer = new Introducer(surroundings);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#wake = undefined;
    clearTimeout(this.#timer);
    this.#close();
  }

  #close(): void {
    this.#opened?.asker[Symbol.dispose]();
    this.#opened?.machine[Symbol.dispose]();
    this.#opened = undefined;
  }

  /** What is known of the gateways of each exit that is asked for. */
  get states(): readonly ExitGateways[] {
    return [...this.#asked.values()].map(({ state }) => state);
  }

  /** Asks from now on for the exits that the node has now. */
  async follow(configuration: Configuration | undefined): Promise<void> {
    if (configuration === undefined || this.#isOver) return;
    this.#configuration = configuration;
    const { openMachine, dataDir, now } = this.#surroundings;
    using machine = await openMachine({ dataDir });
    const node = machine.store.loadNode();
    this.#own = node?.tunnel?.local;
    const exits = node === undefined ? [] : await probedExits(machine, configuration, node);
    const underlay = exits[0] && (await linkTo(machine, exits[0].inUse));
    if (this.#opened?.underlay.index !== underlay?.index) this.#close();
    if (underlay !== undefined) await this.#open(underlay);
    const before = this.states;
    const names = new Set(exits.map(({ exit }) => exit));
    this.#introducer.follow(exits);
    for (const name of this.#asked.keys()) if (!names.has(name)) this.#asked.delete(name);
    for (const { address, source, ...exit } of exits) {
      const known = this.#asked.get(exit.exit);
      const probe = election.configured(known?.probe, exit, now());
      this.#asked.set(exit.exit, { probe, address, source, state: stateOf(probe, known?.state) });
    }
    const states = this.states;
    if (states.length !== before.length || states.some((state) => !before.includes(state)))
      this.#surroundings.changed(states);
    if (this.#asked.size > 0 && this.#timer === undefined) this.#schedule(0);
  }

  #schedule(pause: number): void {
    const go = () => {
      this.#wake = undefined;
      void this.#go();
    };
    const timer = setTimeout(go, pause);
    this.#timer = timer;
    this.#wake = () => {
      clearTimeout(timer);
      go();
    };
  }

  async #go(): Promise<void> {
    let pause = retryPause;
    try {
      this.#hear();
      await this.#askWhoIsDue();
      this.#tellWhenDecided();
      pause = this.#pause();
      this.#opened?.asker.listen(this.#probes.some((probe) => election.isSilent(probe, election.defaultTiming)));
    } catch (error) {
      this.#surroundings.report(error, 'Gateways are asked again until then.');
    }
    if (this.#isOver) return;
    if (this.#asked.size > 0) this.#schedule(pause);
    else this.#timer = undefined;
  }

  get #probes(): readonly election.Probe[] {
    return [...this.#asked.values()].map(({ probe }) => probe);
  }

  #pause(): number {
    const due = Math.min(...this.#probes.map(({ dueAt }) => dueAt)) - this.#surroundings.now();
    return Math.max(1, this.#isDeciding ? Math.min(due, lookPause) : due);
  }

  get #isDeciding(): boolean {
    return this.#probes.some((probe) => election.isDeciding(probe, election.defaultTiming));
  }

  readonly #answered = (): void => {
    try {
      this.#hear();
      this.#tellWhenDecided();
    } catch (error) {
      this.#surroundings.report(error, 'Gateways are asked again until then.');
    }
  };

  /** Exits with this gateway are asked for at once, whatever it knows: nobody is believed before he answers. */
  readonly #hinted = (from: string): void => {
    const now = this.#surroundings.now();
    for (const [exit, asked] of this.#asked) {
      if (!asked.probe.gateways.some((gateway) => tunnelMac(gateway) === from)) continue;
      this.#asked.set(exit, { ...asked, probe: election.hint(asked.probe, election.defaultTiming, now) });
    }
    this.#wake?.();
  };

  async #open(underlay: Link): Promise<void> {
    if (this.#opened !== undefined) return;
    const { openMachine, dataDir } = this.#surroundings;
    const machine = await openMachine({ dataDir });
    try {
      this.#opened = {
        machine,
        asker: machine.host.openAsker(underlay, { hinted: this.#hinted, answered: this.#answered }),
        underlay,
      };
    } catch (error) {
      machine[Symbol.dispose]();
      throw error;
    }
  }

  #hear(): void {
    for (const data of this.#opened?.asker.answers() ?? []) {
      const { exit, gateway, question } = this.#pending.answeredBy(data) ?? {};
      const asked = exit === undefined ? undefined : this.#asked.get(exit);
      if (asked === undefined || gateway === undefined || question === undefined) continue;
      this.#update(asked, election.heard(asked.probe, gateway, question));
    }
    this.#choose();
    if (!this.#isMoving) this.#introducer.look(this.#used);
  }

  get #used(): readonly UsedGateway[] {
    const answers = (probe: election.Probe) =>
      probe.answered.has(probe.inUse) && !election.isSilent(probe, election.defaultTiming);
    return [...this.#asked.values()].map(({ probe }) => ({ ...probe, answers: answers(probe) }));
  }

  /** Resolves when all gateways in use know the connections of this node's pods, or did not answer in time. */
  async introduced(): Promise<void> {
    const { now } = this.#surroundings;
    for (const end = now() + patience; now() < end && this.#introducer.isWaiting(this.#used); )
      await new Promise((resolve) => setTimeout(resolve, lookPause));
    await this.#introducer.settled();
  }

  /** Exits that are due soon are asked for, too: exits of one gateway fail together, and shall move in one step. */
  async #askWhoIsDue(): Promise<void> {
    const now = this.#surroundings.now();
    const own = this.#own;
    const all = [...this.#asked.values()];
    if (own === undefined || !all.some(({ probe }) => probe.dueAt <= now)) return;
    const soon = now + election.defaultTiming.search;
    const random = Math.random();
    const questions: Question[] = [];
    for (const asked of all.filter(({ probe }) => probe.dueAt <= soon)) {
      const { probe, gateways } = election.ask(asked.probe, election.defaultTiming, now, random);
      this.#update(asked, probe);
      questions.push(...gateways.map((gateway) => this.#question(asked, gateway, probe.question)));
    }
    await this.#opened?.asker.ask(own, questions);
  }

  #question({ probe: { exit }, address, source }: Asked, gateway: Address, question: number): Question {
    return { gateway, address, source, data: this.#pending.add({ exit, gateway, question }) };
  }

  #update(asked: Asked, probe: election.Probe): void {
    const state = stateOf(probe, asked.state);
    this.#asked.set(probe.exit, { ...asked, probe, state });
    if (state !== asked.state) this.#isUntold = true;
  }

  /**
   * Whoever is told looks at the whole node, and answers wait meanwhile. So it is told when all exits have found their gateways, or
   * none will be found soon.
   */
  #tellWhenDecided(): void {
    if (!this.#isUntold || this.#isMoving || this.#isDeciding) return;
    this.#isUntold = false;
    this.#surroundings.changed(this.states);
  }

  /** All exits whose address is elsewhere now move together. */
  #choose(): void {
    if (this.#isMoving || this.#surroundings.now() < this.#retryAt) return;
    const moves = [...this.#asked.values()].flatMap(({ probe }): Move[] => {
      const to = election.choice(probe, election.defaultTiming);
      return to === undefined ? [] : [{ exit: probe.exit, to }];
    });
    if (moves.length > 0) void this.#move(moves);
  }

  async #move(moves: readonly Move[]): Promise<void> {
    const { openMachine, dataDir, report, log, now } = this.#surroundings;
    if (this.#configuration === undefined) return;
    this.#isMoving = true;
    const began = now();
    try {
      using machine = await openMachine({ dataDir });
      const failures = await followGateways(machine, this.#configuration, moves);
      for (const failure of failures) report(failure, 'The exit is followed again until then.');
      const tookMs = Math.round(now() - began);
      for (const { exit, to } of moves) {
        const asked = this.#asked.get(exit);
        if (asked === undefined) continue;
        const from = asked.probe.inUse;
        log.info(
          { exit, from, to, tookMs },
          'the gateway was silent and another has the address: its pods use that one',
        );
        const moved = { at: new Date().toISOString(), from };
        const probe = election.using(asked.probe, to);
        this.#introducer.told(exit, to);
        this.#asked.set(exit, { ...asked, probe, state: { ...stateOf(probe, undefined), moved } });
      }
      this.#isUntold = true;
    } catch (error) {
      this.#retryAt = now() + retryPause;
      report(error, 'The exits are followed again until then.');
    } finally {
      this.#isMoving = false;
    }
  }
}
