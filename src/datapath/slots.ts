import { type Address, addressBytes } from '../base/address.ts';
import { fnv1a } from '../base/fnv1a.ts';
import { once } from '../base/once.ts';

/**
 * How many parts the pods of an exit, or its connections, are divided into. Each part has one address: a power of two, so
 * that a mask tells the part, and four times the most addresses that an exit can have.
 */
export const slotCount = 64;

/**
 * The address of each slot. Depends on the set of addresses alone, so that every gateway says the same. Each address has
 * as many slots as any other, or one more; when one is added or removed, few slots change.
 *
 * Rendezvous hashing with equal shares: the pairs of slot and address are taken by their rank, as long as the slot is
 * free and the address has room.
 */
export function slotsOf(addresses: readonly Address[]): readonly Address[] {
  const room = roomFor(addresses);
  const slots = new Map<number, Address>();
  for (const { slot, address } of rankedPairs(addresses)) {
    if (!slots.has(slot) && room.take(address)) slots.set(slot, address);
  }
  return numbers.map((slot) => slots.get(slot) ?? '');
}

/** The address that a pod leaves with, out of several of the pod's family. */
export const addressOf = (addresses: readonly Address[], pod: Address): Address =>
  knownSlots(addresses)[slotOf(pod)] ?? '';

/** Where many pods leave by one exit, its slots are worked out once. */
const knownSlots = once(slotsOf);

/** The low bits: pods of a node have addresses one behind the other. */
export const slotOf = (pod: Address): number => (addressBytes(pod).at(-1) ?? 0) % slotCount;

const numbers = Array.from({ length: slotCount }, (_, slot) => slot);

const rankedPairs = (addresses: readonly Address[]) =>
  addresses
    .flatMap((address) => {
      const hash = fnv1a(address);
      return numbers.map((slot) => ({ slot, address, rank: mixed(hash + slot * farApart) }));
    })
    .sort((a, b) => a.rank - b.rank || a.slot - b.slot || (a.address < b.address ? -1 : 1));

/** 2^32 divided by the golden ratio: multiples of it lie far from one another, as in SplitMix. */
const farApart = 0x9e3779b9;

/** The last step of MurmurHash3: texts that are alike have hashes of FNV-1a that are alike in their high bits. */
function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
  return (twice ^ (twice >>> 16)) >>> 0;
}

/** Counts the slots down that each address may still take: its equal share, and one of the left-over slots. */
function roomFor(addresses: readonly Address[]) {
  const share = Math.floor(slotCount / addresses.length);
  const taken = new Map<Address, number>();
  let leftOver = slotCount % addresses.length;
  return {
    take(address: Address): boolean {
      const count = taken.get(address) ?? 0;
      if (count > share || (count === share && leftOver === 0)) return false;
      if (count === share) leftOver--;
      taken.set(address, count + 1);
      return true;
    },
  };
}
