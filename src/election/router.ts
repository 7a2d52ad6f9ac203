import type { Address } from '../base/address.ts';
import type { HeardAdvertisement } from './advertisement.ts';
import { Holding } from './holding.ts';
import { advertisedBy, type Instance } from './plan.ts';
import { type Bad, Seen, type Sightings } from './seen.ts';
import { Silence } from './silence.ts';
import type { Claim, Segment, Surroundings } from './surroundings.ts';
import {
  downInterval,
  initialize,
  nextTime,
  type VrrpAction,
  type VrrpEvent,
  type VrrpState,
  vrrpStep,
} from './vrrp.ts';

/** What is told of a Virtual Router of this node. */
export interface RouterStatus extends Sightings {
  readonly instance: Instance;
  readonly state: VrrpState['name'];
  /** Since when, RFC 3339 in UTC. */
  readonly since: string;
  /** Why it is what it is, in words. */
  readonly why: string;
  /** The addresses are on this node's interface, put there by it. */
  readonly holds: boolean;
  /** How often it became Active, or ceased to be. */
  readonly transitions: number;
  /** Why the kernel did not let the addresses be as they should, in words. */
  readonly problem?: string;
}

/**
 * One Virtual Router of this node: a machine of states with its timers, and the addresses. Beyond RFC 9568 it is cautious:
 * it does not take addresses that another station still answers for, unless that one said that it steps down; it keeps
 * addresses until their next holder is heard; and it doubts itself when it was held up for longer than others wait.
 */
export class Router {
  readonly #around: Surroundings;
  readonly #holding: Holding;
  readonly #seen = new Seen();
  #instance: Instance;
  #segment: Segment | undefined;
  #state: VrrpState = initialize;
  #since: string;
  #why = 'it has just begun';
  #transitions = 0;
  #silence: Silence;
  /** It has stepped down, and says so until then, or until the next holder is heard. */
  #leavesUntil: number | undefined;
  #repeatAt = 0;
  #wake: Disposable | undefined;
  #left: (() => void) | undefined;

  constructor(instance: Instance, around: Surroundings) {
    this.#instance = instance;
    this.#around = around;
    this.#since = around.date();
    this.#holding = new Holding(instance.device, around, () => this.#segment);
    this.#silence = new Silence(instance.interval);
  }

  /** Takes part on a segment, where `held` addresses are on the interface already: from an earlier life of this node. */
  async start(segment: Segment, held: readonly Address[]): Promise<void> {
    this.#segment = segment;
    this.#leavesUntil = undefined;
    await this.#holding.found(this.#instance.addresses.filter((address) => held.includes(address)));
    if (this.#state.name === 'initialize') this.#step({ name: 'startup' }, 'it has just begun');
  }

  /** Whether it takes part. */
  get isRunning(): boolean {
    return this.#segment !== undefined && this.#state.name !== 'initialize';
  }

  /** Steps down, and stays so until it starts again. The addresses stay until their next holder is heard. */
  stepDown(why: string): void {
    const wasActive = this.#state.name === 'active';
    if (this.#state.name === 'initialize') return;
    this.#step({ name: 'shutdown' }, why);
    if (wasActive) this.#leave();
  }

  /** The interface is gone, or cannot be used: nobody hears it, and nobody reaches the addresses. */
  async lose(why: string): Promise<void> {
    this.#segment = undefined;
    this.#leavesUntil = undefined;
    if (this.#state.name !== 'initialize') this.#step({ name: 'shutdown' }, why);
    else this.#why = why;
    await this.#holding.release();
  }

  /** Steps down; resolves when the next holder was heard, or nobody was in time. Then the addresses stay. */
  async stop(why: string): Promise<void> {
    this.stepDown(why);
    if (this.#leavesUntil === undefined) return await this.#holding.settled();
    await new Promise<void>((resolve) => {
      this.#left = resolve;
    });
    await this.#holding.settled();
  }

  /** Is no part of the configuration any more: the addresses go in any case. */
  async end(): Promise<void> {
    await this.stop('it is not configured any more');
    await this.#holding.release();
    this.#wake?.[Symbol.dispose]();
  }

  /** Other settings for the same Virtual Router. */
  async change(instance: Instance): Promise<void> {
    this.#instance = instance;
    this.#silence = new Silence(instance.interval);
    if (this.#state.name === 'active') await this.#holding.take(instance.addresses);
    this.#arm();
  }

  /** The addresses that the interface has: as Active it shall have all, whoever took one. */
  verify(held: readonly Address[]): void {
    if (this.#state.name !== 'active' || this.#holding.isBusy) return;
    if (this.#instance.addresses.every((address) => held.includes(address))) return;
    void this.#holding.take(this.#instance.addresses);
  }

  get instance(): Instance {
    return this.#instance;
  }

  /** A router with this VRID has spoken. */
  heard(said: HeardAdvertisement): void {
    const now = this.#around.now();
    if (!this.#isOfOurs(said)) return;
    this.#silence.heard(said, now);
    const before = this.#state.name;
    const { priority, interval, source } = said;
    this.#step({ name: 'advertisement', priority, interval, source }, `${source} has priority ${priority}`);
    if (this.#state.name === 'active' && priority > 0) this.#holding.defend(now);
    if (this.#state.name !== 'active' && before !== 'active' && priority > 0) this.#giveUp();
  }

  /** Whoever shares no address with us only has our number, by chance. */
  #isOfOurs({ addresses, source, priority }: HeardAdvertisement): boolean {
    const own = advertisedBy(this.#instance);
    const isShared = this.#instance.addresses.some((address) => addresses.includes(address));
    if (!isShared) this.count('foreign');
    if (!isShared && this.#seen.foreign(source, addresses)) this.#around.changed();
    const isEqual = addresses.length === own.length && own.every((address) => addresses.includes(address));
    if (isShared && !isEqual) this.count('addresses');
    if (isShared) this.#seen.heard(source, priority, this.#around.date());
    return isShared;
  }

  /** What is said of it that is no advertisement. */
  count(reason: Bad): void {
    this.#seen.count(reason);
  }

  /** The next holder was heard. */
  #giveUp(): void {
    this.#leavesUntil = undefined;
    void this.#holding.release();
    this.#left?.();
    this.#left = undefined;
  }

  /** Another station claims an address. */
  claimed({ address, mac }: Claim): void {
    if (!this.#instance.addresses.includes(address)) return;
    const now = this.#around.now();
    if (this.#state.name !== 'active') {
      this.#silence.answered(mac, now);
      this.#arm(); // the next question may have time now
      return;
    }
    if (this.#seen.duplicate(address, mac, this.#around.date())) this.#around.changed();
    this.#holding.defend(now);
  }

  #step(event: VrrpEvent, why: string): void {
    const [before, now] = [this.#state.name, this.#around.now()];
    const { state, actions } = vrrpStep(this.#settings, this.#state, event, now);
    this.#state = state;
    for (const action of actions) this.#do(action, event);
    if (state.name !== before) this.#became(before, why);
    this.#arm();
  }

  get #settings() {
    return { ...this.#instance, address: this.#segment?.source ?? '0.0.0.0' };
  }

  #became(before: VrrpState['name'], why: string): void {
    if (before === 'active' || this.#state.name === 'active') this.#transitions++;
    this.#since = this.#around.date();
    this.#why = why;
    void this.#holding.settled().then(() => this.#around.changed());
  }

  #do(action: VrrpAction, event: VrrpEvent): void {
    if (action.name === 'take') void this.#holding.take(this.#instance.addresses);
    else if (action.name === 'advertise') this.#holding.after(() => this.#advertise(action.priority));
    else if (event.name !== 'shutdown') this.#yield();
  }

  /** A stronger one is Active, too. It shall hear that there were two: then it tells the stations again where it is. */
  #yield(): void {
    this.#holding.after(() => this.#advertise(this.#instance.priority));
    void this.#holding.release();
  }

  #advertise(priority: number): void {
    const { vrid, interval } = this.#instance;
    this.#segment?.advertise({ vrid, priority, interval, addresses: advertisedBy(this.#instance) });
  }

  #leave(): void {
    const now = this.#around.now();
    const interval = 10 * this.#instance.interval;
    this.#leavesUntil = now + 5 * interval;
    this.#repeatAt = now + interval;
    this.#around.hint();
    this.#arm();
  }

  /** Wakes when the next of its times has come. */
  #arm(): void {
    this.#wake?.[Symbol.dispose]();
    const times = [
      nextTime(this.#state),
      this.#holding.next,
      this.#silence.nextQuestion(this.#state),
      this.#nextFarewell,
    ];
    const next = Math.min(...times.map((time) => time ?? Number.POSITIVE_INFINITY));
    this.#wake = Number.isFinite(next) ? this.#around.at(next, () => this.#awake()) : undefined;
  }

  get #nextFarewell(): number | undefined {
    return this.#leavesUntil === undefined ? undefined : Math.min(this.#repeatAt, this.#leavesUntil);
  }

  #awake(): void {
    const now = this.#around.now();
    this.#holding.tick(now);
    if (this.#leavesUntil !== undefined) this.#sayFarewell(now, this.#leavesUntil);
    if (this.#state.name === 'backup') this.#watch(this.#state, now);
    else if (this.#state.name === 'active' && now >= this.#state.advertiseAt) this.#goOn(this.#state, now);
    this.#arm();
  }

  #sayFarewell(now: number, until: number): void {
    if (now >= until) {
      this.#leavesUntil = undefined;
      this.#why += '; no other gateway has taken over';
      this.#left?.();
      this.#around.changed();
      return;
    }
    if (now < this.#repeatAt) return;
    this.#repeatAt = now + 10 * this.#instance.interval;
    this.#advertise(0);
  }

  /** As Backup: asks for the address while advertisements are missing, and takes over when nobody answers either. */
  #watch(state: VrrpState & { readonly name: 'backup' }, now: number): void {
    if (this.#silence.isQuestionDue(state, now)) this.#segment?.ask(this.#instance.addresses[0] ?? '');
    if (now < state.downAt) return;
    const holder = this.#silence.holder(now);
    if (holder === undefined && !this.#silence.doubts(now)) {
      this.#step({ name: 'timer' }, this.#silence.why);
      return;
    }
    this.#state = { ...state, downAt: now + 10 * this.#instance.interval };
    if (holder !== undefined && this.#seen.silent(holder)) this.#around.changed();
    if (this.#silence.isDeaf(now)) this.#segment?.listenAnew();
  }

  /** As Active. Who was held up for so long that another may have begun waits for a word of it first. */
  #goOn(state: VrrpState & { readonly name: 'active' }, now: number): void {
    const late = now - state.advertiseAt;
    if (late < downInterval(254, this.#instance.interval)) {
      this.#step({ name: 'timer' }, '');
      return;
    }
    this.#state = initialize;
    this.#transitions++;
    this.#step({ name: 'startup' }, `it was held up for ${Math.round(late)} ms`);
  }

  get status(): RouterStatus {
    const { problem } = this.#holding;
    return {
      ...(problem !== undefined && { problem }),
      ...this.#seen.sightings(this.#state.name),
      ...{ instance: this.#instance, state: this.#state.name, since: this.#since, why: this.#why },
      ...{ holds: this.#holding.holds, transitions: this.#transitions },
    };
  }
}
