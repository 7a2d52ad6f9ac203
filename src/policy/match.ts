import type { Family, Prefix } from '../base/address.ts';

/** What the runtime tells about the pod (CNI_ARGS); a runtime that is not Kubernetes tells nothing. */
export interface Pod {
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
}

/** One line of a program: packets of one family towards `destinations`, but not `except`, use the exit. */
export interface Match {
  /** Name of the policy that it comes from. */
  readonly policy: string;
  readonly family: Family;
  /** Canonical, sorted, none inside another; never empty. */
  readonly destinations: readonly Prefix[];
  /** Canonical, sorted; may be empty. */
  readonly except: readonly Prefix[];
  /** Name of an exit: a configured one, or the built-in `node` or `drop`. */
  readonly exit: string;
}

/** The ordered matches of one pod: the first that fits a packet decides; a packet that none fits leaves as before. */
export type Program = readonly Match[];

/** Exits that need no configuration: leave as if we were not there; do not leave at all. */
export const builtInExits = ['node', 'drop'] as const;
