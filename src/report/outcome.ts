import type { Decision } from '../policy/decision.ts';
import type { Obstacles } from './obstacles.ts';
import type { Step } from './steps.ts';
import type { WayTaken } from './way.ts';

/** What becomes of a packet. */
export type Outcome =
  /** It leaves by an exit, or as the exit says when it has no way. */
  | 'leaves'
  /** The node treats it as without egress. */
  | 'left alone'
  | 'dropped'
  /** The pod has no address to send it from. */
  | 'not sent'
  /** Somebody changed what is set up so that nobody can say. */
  | 'unknown';

/** What becomes of a packet, and the policy, exit and objects that decide it. */
export interface Trace {
  readonly outcome: Outcome;
  /** The same for a person, as the end of a sentence without its full stop. */
  readonly words: string;
  /**
   * Where the pod's program decides: before all policies, because the packet is for the node itself, the cluster or a
   * network of the pod; in a match; nowhere. Absent when there is no program to look at.
   */
  readonly by?: Decision['by'] | 'own';
  /** The policy that decided, if one did; and its exit, also when nothing leaves by it. */
  readonly policy?: string;
  readonly exit?: string;
  readonly way?: WayTaken;
  /** Chains of others that drop it unless one of their rules accepts it: rules are not judged. */
  readonly unless?: readonly string[];
  /** What drops its answers. */
  readonly unanswered?: string;
  /** The objects that the packet meets, in its order, and their faults. */
  readonly kernel: readonly Step[];
  readonly notes: readonly string[];
}

/** The part of it that the pod's program tells. */
export type Decided = Pick<Trace, 'by' | 'policy' | 'exit' | 'kernel' | 'notes'>;

/** It is dropped for a reason. */
export const dropped = (decided: Decided, why: string): Trace => ({
  ...decided,
  outcome: 'dropped',
  words: `is dropped: ${why}`,
});

/** Nobody can say for a fault. */
export const unknown = (decided: Decided, fault: string): Trace => ({
  ...decided,
  outcome: 'unknown',
  words: `is not known: ${fault}`,
});

/** A packet that passes all known obstacles, with the uncertain ones. */
export const passed = (trace: Trace, { unless, unanswered, notes }: Obstacles): Trace => ({
  ...trace,
  ...(unless.length > 0 && { unless }),
  ...(unanswered && { unanswered }),
  notes: [...trace.notes, ...notes],
});
