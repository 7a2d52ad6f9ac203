import type { Prefix } from '../base/address.ts';
import { isEqual } from '../base/canonical.ts';
import { intersection } from '../policy/prefixes.ts';
import type { NodeRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';

/**
 * Ranges that no program on the node steers, when the next one leaves those of `cluster` alone. Programs are looked at only
 * while the node's record does not know them: then they only become fewer, until there is no pod any more.
 */
export function sparedOf(
  machine: Machine,
  known: NodeRecord | undefined,
  cluster: readonly Prefix[],
): readonly Prefix[] {
  if (isEqual(known?.spared, cluster)) return cluster; // as for most pods: nothing has to be looked at
  if (!machine.store.hasAttachments()) return cluster;
  return (known?.spared ? [known.spared] : clustersOf(machine, known)).reduce(intersection, cluster);
}

/** Those of each program of a pod. One from before programs had ranges of their own goes by the node's. */
function clustersOf({ store }: Machine, known: NodeRecord | undefined): (readonly Prefix[])[] {
  const programs = new Set(store.list().map(({ program }) => program));
  return [...programs].map((program) => store.loadProgram(program)?.cluster ?? known?.clusterCIDRs ?? []);
}
