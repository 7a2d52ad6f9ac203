import { type Address, families, familyOf } from '../base/address.ts';
import { leadsToHeld } from '../datapath/held.ts';
import * as layout from '../datapath/layout.ts';
import type { Element, NftSet } from '../nftables/object.ts';
import type { ObservedElement } from '../nftables/observed.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { findElementsByComment, findElementsByKey, listElements } from './nftables/read.ts';

/** An element without its counter, as it is desired. */
export const elementOf = ({ counter: _, ...element }: ObservedElement): Element => element;

/** Elements of one of our sets or maps, without their counters. */
export const listSet = async (socket: NetlinkSocket, set: NftSet): Promise<Element[]> =>
  (await listElements(socket, set)).map(elementOf);

/** Of more addresses all elements are read: that is one request for each set, not one for each address. */
const fewAddresses = 8;

/** Elements of the sets and maps of pods for addresses. */
export async function findPods(socket: NetlinkSocket, addresses: readonly string[]): Promise<Element[]> {
  if (addresses.length > fewAddresses) {
    const elements: Element[] = [];
    const keys = new Set(
      addresses.flatMap((one) => layout.podSets(familyOf(one)).map((set) => layout.podKey(set, one))),
    );
    for (const set of families.flatMap(layout.podSets)) elements.push(...(await listSet(socket, set)));
    return elements.filter(({ key }) => keys.has(key));
  }
  const wanted = addresses.flatMap((address) =>
    layout.podSets(familyOf(address)).map((set) => ({ set, key: layout.podKey(set, address) })),
  );
  return (await findElementsByKey(socket, wanted)).map(elementOf);
}

/** Elements of the maps that lead pods to their own ports; most nodes have none. */
export async function findBlocks(socket: NetlinkSocket, isWanted: (element: Element) => boolean): Promise<Element[]> {
  const elements: Element[] = [];
  for (const family of families) elements.push(...(await listSet(socket, layout.blocksMap(family))));
  return elements.filter(isWanted);
}

/**
 * Elements of attachments whose comment begins with `mark`: those of their addresses, of their ports, and of connections that
 * they hold. Looked up by address where the addresses are known.
 */
export async function findElements(
  socket: NetlinkSocket,
  mark: string,
  addresses?: readonly Address[],
): Promise<readonly Element[]> {
  if (addresses === undefined) return await findAllByMark(socket, mark);
  const keys = addresses.map(layout.addressHex);
  const pods = await findPods(socket, addresses);
  const blocks = await findBlocks(socket, ({ key }) => keys.includes(layout.podOfBlockKey(key)));
  const held = pods.some(leadsToHeld) ? await listSet(socket, layout.heldMap) : [];
  return [...pods, ...blocks, ...held].filter(({ comment = '' }) => comment.startsWith(mark));
}

async function findAllByMark(socket: NetlinkSocket, mark: string): Promise<readonly Element[]> {
  const sets = families.flatMap((family) => [...layout.podSets(family), layout.blocksMap(family)]);
  const elements: Element[] = [];
  for (const set of [layout.heldMap, ...sets]) elements.push(...(await findElementsByComment(socket, set, mark)));
  return elements;
}
