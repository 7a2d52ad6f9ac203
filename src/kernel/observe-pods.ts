import { families, familyOf } from '../base/address.ts';
import * as layout from '../datapath/layout.ts';
import type { Element, NftSet } from '../nftables/object.ts';
import type { ObservedElement } from '../nftables/observed.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { findElement, listElements } from './nftables/read.ts';

/** An element without its counter, as it is desired. */
export const elementOf = ({ counter: _, ...element }: ObservedElement): Element => element;

/** Elements of one of our sets or maps, without their counters. */
export const listSet = async (socket: NetlinkSocket, set: NftSet): Promise<Element[]> =>
  (await listElements(socket, set)).map(elementOf);

/** Of more addresses all elements are read: that is one request for each set, not one for each address. */
const fewAddresses = 8;

/** Elements of the sets and maps of pods for addresses. */
export async function findPods(socket: NetlinkSocket, addresses: readonly string[]): Promise<Element[]> {
  const elements: Element[] = [];
  if (addresses.length > fewAddresses) {
    const keys = new Set(addresses.map(layout.addressHex));
    for (const set of families.flatMap(layout.podSets)) elements.push(...(await listSet(socket, set)));
    return elements.filter(({ key }) => keys.has(key));
  }
  for (const address of addresses) {
    for (const set of layout.podSets(familyOf(address))) {
      const element = await findElement(socket, set, layout.addressHex(address));
      if (element !== undefined) elements.push(elementOf(element));
    }
  }
  return elements;
}

/** Elements of the maps that lead pods to their own ports; most nodes have none. */
export async function findBlocks(socket: NetlinkSocket, isWanted: (element: Element) => boolean): Promise<Element[]> {
  const elements: Element[] = [];
  for (const family of families) elements.push(...(await listSet(socket, layout.blocksMap(family))));
  return elements.filter(isWanted);
}
