import type { HeardAdvertisement } from './advertisement.ts';
import type { VrrpState } from './vrrp.ts';

/** Milliseconds from one new socket to the next. */
const deafAfter = 1_000;
/**
 * Questions without an answer behind which nobody is there: with a fifth of all packets lost, that many in a row are one case in 27,000.
 * Between the first question and the timer there is time for one and a half times as many.
 */
const enoughQuestions = 10;
/** Timers in a row that are not believed. */
const mostDoubts = 10;

/**
 * What is known of a holder that says nothing. Its program may be dead, or hang, or its packets may be lost, while its
 * kernel goes on to forward: then to take its addresses would break what works. So before the Active_Down_Timer fires the
 * segment is asked for the address, again and again.
 */
export class Silence {
  /** Milliseconds between two questions, and how long before the timer they begin: an answer of that time counts. */
  readonly #pause: number;
  readonly #window: number;
  /** Milliseconds of silence after which it is asked less often, as long as it answers. */
  readonly #long: number;
  #askedAt = Number.NEGATIVE_INFINITY;
  #answer: { readonly mac: string; readonly at: number } | undefined;
  #hasSteppedDown = false;
  #wasHeard = false;
  #spokenAt = Number.NEGATIVE_INFINITY;
  #listenedAnewAt = Number.NEGATIVE_INFINITY;
  #doubts = 0;
  /** Questions in time since somebody spoke or answered. */
  #unanswered = 0;

  /** @param interval of advertisements, in centiseconds */
  constructor(interval: number) {
    this.#pause = interval;
    this.#window = 15 * interval;
    this.#long = 100 * interval;
  }

  /** A router has spoken. */
  heard({ priority }: HeardAdvertisement, now: number): void {
    this.#spokenAt = now;
    this.#hasSteppedDown = priority === 0;
    this.#wasHeard = true;
    this.#isThere();
  }

  /** Another station has claimed the address. */
  answered(mac: string, now: number): void {
    this.#answer = { mac, at: now };
    this.#isThere();
  }

  #isThere(): void {
    this.#doubts = 0;
    this.#unanswered = 0;
  }

  /** When the next question is due. */
  nextQuestion(state: VrrpState): number | undefined {
    if (state.name !== 'backup' || this.#hasSteppedDown) return undefined;
    return Math.max(state.downAt - this.#window, this.#askedAt + (this.#isSteady ? 3 : 1) * this.#pause);
  }

  /** A holder that has been silent for long and has answered the last question will answer the next; when it does not, the others follow fast. */
  get #isSteady(): boolean {
    const isLong = this.#askedAt - this.#spokenAt > this.#long;
    return isLong && this.#answer !== undefined && this.#answer.at >= this.#askedAt;
  }

  /** Whether a question is due now; then it counts as asked. */
  isQuestionDue(state: VrrpState, now: number): boolean {
    const due = this.nextQuestion(state);
    if (due === undefined || now < due) return false;
    this.#askedAt = now;
    if (now < due + this.#pause) this.#unanswered++; // else whoever keeps us from asking may keep the kernel from answering
    return true;
  }

  /**
   * The station that has answered of late, and has not said that it steps down; `undefined`: nobody holds the address, or a
   * weaker router that speaks, and yields to who preempts.
   */
  holder(now: number): string | undefined {
    if (this.#hasSteppedDown || this.#answer === undefined || now - this.#spokenAt <= this.#window) return undefined;
    return now - this.#answer.at <= this.#window ? this.#answer.mac : undefined;
  }

  /**
   * Whether to listen to routers by a new socket: somebody answers for the addresses, and is not heard. With Linux 6.18 a socket of
   * the routers' group was seen to get nothing, while others beside it did. Then it counts as done.
   */
  isDeaf(now: number): boolean {
    if (this.holder(now) === undefined || now < this.#listenedAnewAt + deafAfter) return false;
    this.#listenedAnewAt = now;
    return true;
  }

  /**
   * Whether the timer is not to be believed, since too little was asked: who was held up may not have read what others said. Each turn of
   * the event loop reads what there is and asks one question, so questions tell it, and time does not. A few times only: on a node that
   * always is late the addresses come, too. A weaker router that speaks and yields is no reason.
   */
  doubts(now: number): boolean {
    if (this.#hasSteppedDown || now - this.#spokenAt <= this.#window) return false;
    if (this.#unanswered >= enoughQuestions || this.#doubts === mostDoubts) return false;
    this.#doubts++;
    return true;
  }

  /** Why the addresses may be taken, in words. */
  get why(): string {
    if (this.#hasSteppedDown) return 'the gateway before it stepped down';
    return this.#wasHeard ? 'the gateway before it fell silent' : 'no other gateway spoke';
  }
}
