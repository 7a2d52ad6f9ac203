import type { Prefix } from '../base/address.ts';
import type { Terms } from './terms.ts';

/** All destinations: a policy without any has these. */
export const everywhere = ['0.0.0.0/0', '::/0'] as const satisfies readonly Prefix[];

/** A policy of the configuration with all defaults filled in: pods, destinations and the exit for them. */
export interface Policy extends Terms {
  readonly name: string;
  /** Globs; one must fit the pod's namespace. */
  readonly namespaces: readonly string[];
  /** Globs; one must fit the pod's name. */
  readonly pods: readonly string[];
  readonly destinations: readonly Prefix[];
  /** The higher one decides. */
  readonly priority: number;
  /** Only for pods that ask for it by name. */
  readonly optIn?: true;
}
