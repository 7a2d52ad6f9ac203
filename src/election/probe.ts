import type { Address } from '../base/address.ts';

/** How often a node asks, in milliseconds, and how many questions without an answer are too many. */
export interface ProbeTiming {
  /** From one question to the next while the gateway in use answers. */
  readonly interval: number;
  /** So many questions without an answer, and all gateways are asked. */
  readonly misses: number;
  /** The same when the one before has no answer, and while all gateways are asked, as long as one may still take over soon. */
  readonly search: number;
  /** From one question to the next, to all gateways, while a hint counts. */
  readonly hurry: number;
  /** How long a hint counts. */
  readonly hinted: number;
  /** From one hint that counts to the next: who may send hints causes no more questions than that. */
  readonly hintRest: number;
  /** After a hint: by so many questions another gateway has to be ahead of the one in use. */
  readonly lead: number;
  /** Share of a pause by which it is longer or shorter, 0…1: nodes shall not ask in step. */
  readonly jitter: number;
}

export const defaultTiming: ProbeTiming = {
  ...{ interval: 100, misses: 3, search: 25, jitter: 0.1 },
  ...{ hurry: 10, hinted: 300, hintRest: 600, lead: 2 },
};

/** A gateway that is farther away than so many fast questions take counts as silent. */
const mostLag = 12;

/** So many questions to all gateways follow each other fast; then nobody is there, and the pause is as before. */
const fastQuestions = 40;

/** An exit, and the gateways that may hold its address. */
export interface ProbedExit {
  readonly exit: string;
  /** Underlay addresses, at least one, in the order of preference. */
  readonly gateways: readonly Address[];
  /** The gateway that packets are sent to; one of them. */
  readonly inUse: Address;
}

/** What a node knows of the gateways of one exit. Questions are numbered from 1; one number may go to several gateways. */
export interface Probe extends ProbedExit {
  /** The number of the last question; 0 before the first. */
  readonly question: number;
  /** The last question before the gateway in use was chosen by others: what was answered until then says nothing of it. */
  readonly chosenAt: number;
  /** The last question that each gateway has answered. */
  readonly answered: ReadonlyMap<Address, number>;
  /** So many questions the last answer of the gateway in use was behind when it came, 0…12: those on their way are not unanswered. */
  readonly lag: number;
  /** Milliseconds on a clock that does not go back: when the next question is due. */
  readonly dueAt: number;
  /** When the last hint came that counts. */
  readonly hintedAt: number;
  /** It counted when the last question was asked, or nothing was asked since. */
  readonly isHurried: boolean;
}

/** Begins to ask at once. */
export const beginProbe = (exit: ProbedExit, now: number): Probe => ({
  ...exit,
  question: 0,
  chosenAt: 0,
  answered: new Map(),
  lag: 0,
  dueAt: now,
  hintedAt: Number.NEGATIVE_INFINITY,
  isHurried: false,
});

/** Questions that the gateway in use has not answered, of those that were asked after the last that it did, but for those on their way. */
export const unanswered = ({ question, answered, inUse, chosenAt, lag }: Probe): number =>
  question - (answered.get(inUse) ?? chosenAt) - lag;

/** Whether the gateway in use is asked in vain. Questions that follow each other fast for a hint say nothing of that by themselves. */
export const isSilent = (probe: Probe, { misses }: ProbeTiming): boolean =>
  !probe.isHurried && unanswered(probe) >= misses;

/** Whether a gateway may be found at any moment: after a hint, and in the first second in which the one in use is silent. */
export const isDeciding = (probe: Probe, timing: ProbeTiming): boolean =>
  probe.isHurried || (isSilent(probe, timing) && isFast(probe, timing));

const isFast = (probe: Probe, { misses }: ProbeTiming): boolean => unanswered(probe) < misses + fastQuestions;

/**
 * A gateway hints that an address moves. Nobody is believed: all are asked at once, and in short order for a while. A hint that
 * follows another too soon counts for nothing.
 */
export function hint(probe: Probe, timing: ProbeTiming, now: number): Probe {
  if (now < probe.hintedAt + timing.hintRest) return probe;
  const dueAt = Math.min(probe.dueAt, now);
  return { ...probe, hintedAt: now, dueAt, isHurried: !isSilent(probe, timing) };
}

/**
 * The next question, and the gateways that it is for. `random` is 0…1. When the one before has no answer those behind it follow
 * fast: a gateway that is gone is looked for elsewhere before another has the address, so that no hint is needed.
 */
export function ask(
  probe: Probe,
  timing: ProbeTiming,
  now: number,
  random: number,
): { readonly probe: Probe; readonly gateways: readonly Address[] } {
  const isHurried = probe.isHurried && now < probe.hintedAt + timing.hinted;
  const isSearching = isSilent({ ...probe, isHurried }, timing);
  const isMissing = unanswered(probe) > 0 && isFast(probe, timing);
  const pause = isHurried ? timing.hurry : isMissing ? timing.search : timing.interval;
  const dueAt = now + pause * (1 + timing.jitter * (2 * random - 1));
  return {
    probe: { ...probe, question: probe.question + 1, dueAt, isHurried },
    gateways: isHurried || isSearching ? probe.gateways : [probe.inUse],
  };
}

/** A gateway answered a question. An answer that comes late, behind later ones, changes nothing. */
export function heard(probe: Probe, gateway: Address, question: number): Probe {
  if (question > probe.question || question <= (probe.answered.get(gateway) ?? probe.chosenAt)) return probe;
  const lag = gateway === probe.inUse ? Math.min(probe.question - question, mostLag) : probe.lag;
  return { ...probe, lag, answered: new Map(probe.answered).set(gateway, question) };
}

/**
 * The gateway to use instead: one that answered a later question than the gateway in use, which is silent; after a hint one that
 * is ahead of it by some answers. Of several the one with the latest answer, and of those the first in the order of preference.
 */
export function choice(probe: Probe, timing: ProbeTiming): Address | undefined {
  if (!probe.isHurried && !isSilent(probe, timing)) return undefined;
  const ahead = probe.isHurried ? timing.lead : 1;
  const last = (gateway: Address): number => probe.answered.get(gateway) ?? probe.chosenAt;
  const others = probe.gateways.filter((gateway) => last(gateway) >= last(probe.inUse) + ahead);
  return others.toSorted((a, b) => last(b) - last(a))[0];
}

/** Packets are sent to another gateway from now on; what is known of answers stays. */
export const using = (probe: Probe, inUse: Address): Probe => ({ ...probe, inUse, lag: 0, isHurried: false });

/** The exit as the configuration and the node's record have it now. Another gateway in use has to answer anew, as all others. */
export function configured(probe: Probe | undefined, exit: ProbedExit, now: number): Probe {
  if (probe === undefined) return beginProbe(exit, now);
  if (probe.inUse !== exit.inUse)
    return { ...beginProbe(exit, now), question: probe.question, chosenAt: probe.question };
  const answered = new Map([...probe.answered].filter(([gateway]) => exit.gateways.includes(gateway)));
  return { ...probe, ...exit, answered };
}
