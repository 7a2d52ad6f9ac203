import { indexOfKept, type Kept, keptMaps } from '../datapath/kept.ts';
import type { NftSet } from '../nftables/object.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { listSet } from './observe-pods.ts';
import { readLink } from './rtnetlink/link.ts';

/**
 * The administrator's values in our table, with the present names of the interfaces. Throws KernelError.
 *
 * @param sets the sets that are there
 */
export async function listKept(
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  sets: readonly Pick<NftSet, 'name'>[] = keptMaps,
): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const map of keptMaps.filter(({ name }) => sets.some((set) => set.name === name))) {
    for (const element of await listSet(netfilter, map)) {
      const device = (await readLink(route, indexOfKept(element)))?.name;
      kept.push({ element, ...(device !== undefined && { device }) });
    }
  }
  return kept;
}
