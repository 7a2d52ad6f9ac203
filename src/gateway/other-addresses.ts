import { type Address, contains } from '../base/address.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Change } from '../datapath/difference.ts';
import type { Flow } from '../datapath/host.ts';
import { setNames } from '../datapath/layout.ts';
import type { Machine } from '../node/machine.ts';
import type { NodeRecord } from '../store/record.ts';

/** Whether packets come out of the tunnel for an exit from now on that did not before. */
const beginsToServe = (changes: readonly Change[]): boolean =>
  changes.some(
    ({ verb, object }) =>
      (verb === 'add' && object.kind === 'element' && object.set === setNames.served) ||
      (verb !== 'remove' && object.kind === 'tunnel'),
  );

/**
 * Flows of pods elsewhere that left from here with another address than an exit's, by the node's routes. Conntrack would
 * keep that address, and the guard drop what comes through the tunnel with it, for as long as the pod goes on sending.
 */
export async function forgetOtherAddresses(
  { host }: Machine,
  { clusterCIDRs }: Configuration,
  next: NodeRecord,
  changes: readonly Change[],
): Promise<void> {
  if (!beginsToServe(changes)) return;
  const served = next.exits.filter(({ id }) => next.gateway?.served.includes(id));
  const right = new Set(served.flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses)));
  const own = new Set((await host.listAllAddresses()).map(({ address }) => address));
  const isInCluster = (address: Address) => clusterCIDRs.some((range) => contains(range, address));
  const isWrong = ({ source, replySource, replyDestination }: Flow) =>
    !right.has(replyDestination) && !own.has(replySource) && !isInCluster(replySource) && isInCluster(source);
  for (const family of new Set(served.flatMap(({ ways }) => ways.map(({ family }) => family)))) {
    await host.forgetFlows(family, async (all) => {
      const wrong = all.filter(isWrong);
      const elsewhere = await reachedThroughOthers(host, new Set(wrong.map(({ source }) => source)));
      return new Set(wrong.filter(({ source }) => elsewhere.has(source)));
    });
  }
}

/** Pods of this node are on its links; those of others are behind a next hop, in an overlay too. */
async function reachedThroughOthers(host: Machine['host'], pods: Iterable<Address>): Promise<ReadonlySet<Address>> {
  const elsewhere = new Set<Address>();
  for (const pod of pods) if ((await host.routeTo(pod))?.via !== undefined) elsewhere.add(pod);
  return elsewhere;
}
