import type { Prefix } from '../base/address.ts';
import type { Selector } from './selector.ts';
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
  /** The pod's labels must fit. Absent: any do. */
  readonly podSelector?: Selector;
  /** The labels of the pod's namespace must fit. Absent: any do. */
  readonly namespaceSelector?: Selector;
  readonly destinations: readonly Prefix[];
  /** The higher one decides. */
  readonly priority: number;
  /** Only for pods that ask for it by name. */
  readonly optIn?: true;
  /** Of those who own the namespace: it never weakens what the others say. Its priority is 0. */
  readonly ofTenant?: true;
}
