import type { Family, Prefix } from '../base/address.ts';
import type { PodLabels } from './selector.ts';
import type { Terms } from './terms.ts';

/** The runtime's words about the pod (CNI_ARGS); none without Kubernetes. */
export interface Pod {
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  /** The pod's annotations for us: key without the prefix `egress.cni/` → value. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of the pod and its namespace, asked for where a policy chooses by labels. Absent: not known. */
  readonly labels?: PodLabels;
}

/** One line of a program: packets of one family towards `destinations`, but not `except`, and `ports` use the exit. */
export interface Match extends Terms {
  /** Name of the policy that it comes from, or {@link wishName}. */
  readonly policy: string;
  readonly family: Family;
  /** Canonical, sorted, none inside another; never empty. */
  readonly destinations: readonly Prefix[];
}

/** The ordered matches of one pod: the first that fits a packet decides; a packet that none fits leaves as before. */
export type Program = readonly Match[];

/** How the keys of annotations begin that are meant for us. */
export const annotationPrefix = 'egress.cni/';

/** The policy name in matches of a pod's own wish. No policy can have a name with a `/`. */
export const wishName = `${annotationPrefix}exit`;

/** Exits that need no configuration: leave as if we were not there; do not leave at all. */
export const builtInExits = ['node', 'drop'] as const;
