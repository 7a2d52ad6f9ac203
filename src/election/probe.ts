import type { Address } from '../base/address.ts';

/** How often a node asks, in milliseconds, and how many questions without an answer are too many. */
export interface ProbeTiming {
  /** From one question to the next while the gateway in use answers. */
  readonly interval: number;
  /** So many questions without an answer, and all gateways are asked. */
  readonly misses: number;
  /** From one question to the next while all gateways are asked, as long as one may still take over soon. */
  readonly search: number;
  /** Share of a pause by which it is longer or shorter, 0…1: nodes shall not ask in step. */
  readonly jitter: number;
}

export const defaultTiming: ProbeTiming = { interval: 100, misses: 3, search: 25, jitter: 0.1 };

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
  /** Milliseconds on a clock that does not go back: when the next question is due. */
  readonly dueAt: number;
}

/** Begins to ask at once. */
export const beginProbe = (exit: ProbedExit, now: number): Probe => ({
  ...exit,
  question: 0,
  chosenAt: 0,
  answered: new Map(),
  dueAt: now,
});

/** Questions that the gateway in use has not answered, of those that were asked after the last that it did. */
export const unanswered = ({ question, answered, inUse, chosenAt }: Probe): number =>
  question - (answered.get(inUse) ?? chosenAt);

/** Whether the gateway in use is asked in vain. */
export const isSilent = (probe: Probe, { misses }: ProbeTiming): boolean => unanswered(probe) >= misses;

/** The next question, and the gateways that it is for. `random` is 0…1. */
export function ask(
  probe: Probe,
  timing: ProbeTiming,
  now: number,
  random: number,
): { readonly probe: Probe; readonly gateways: readonly Address[] } {
  const isSearching = isSilent(probe, timing);
  const isFast = unanswered(probe) < timing.misses + fastQuestions;
  const pause = isSearching && isFast ? timing.search : timing.interval;
  const dueAt = now + pause * (1 + timing.jitter * (2 * random - 1));
  return {
    probe: { ...probe, question: probe.question + 1, dueAt },
    gateways: isSearching ? probe.gateways : [probe.inUse],
  };
}

/** A gateway answered a question. An answer that comes late, behind later ones, changes nothing. */
export function heard(probe: Probe, gateway: Address, question: number): Probe {
  if (question > probe.question || question <= (probe.answered.get(gateway) ?? probe.chosenAt)) return probe;
  return { ...probe, answered: new Map(probe.answered).set(gateway, question) };
}

/**
 * The gateway to use instead: one that answered a later question than the gateway in use, which is silent. Of several
 * the one with the latest answer, and of those the first in the order of preference.
 */
export function choice(probe: Probe, timing: ProbeTiming): Address | undefined {
  if (!isSilent(probe, timing)) return undefined;
  const last = (gateway: Address): number => probe.answered.get(gateway) ?? probe.chosenAt;
  const others = probe.gateways.filter((gateway) => last(gateway) > last(probe.inUse));
  return others.toSorted((a, b) => last(b) - last(a))[0];
}

/** Packets are sent to another gateway from now on; what is known of answers stays. */
export const using = (probe: Probe, inUse: Address): Probe => ({ ...probe, inUse });

/** The exit as the configuration and the node's record have it now. Another gateway in use has to answer anew, as all others. */
export function configured(probe: Probe | undefined, exit: ProbedExit, now: number): Probe {
  if (probe === undefined) return beginProbe(exit, now);
  if (probe.inUse !== exit.inUse) return { ...beginProbe(exit, now), question: probe.question, chosenAt: probe.question };
  const answered = new Map([...probe.answered].filter(([gateway]) => exit.gateways.includes(gateway)));
  return { ...probe, ...exit, answered };
}
