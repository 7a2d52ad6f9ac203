import { type Address, type Family, familyOf } from '../../src/base/address.ts';
import { addressOf, slotCount, slotsOf } from '../../src/datapath/slots.ts';
import type { Pod } from './pod.ts';

const ofFamily = (addresses: readonly Address[], family: Family) =>
  addresses.filter((address) => familyOf(address) === family);

/** The addresses of an exit that the outside has to see of a pod, when pods are spread over them; IPv4 first. */
export const foretold = (addresses: readonly Address[], pod: Pod): readonly Address[] =>
  pod.addresses.map((own) => addressOf(ofFamily(addresses, familyOf(own)), own));

/** What the outside has to see of a source port, when connections are spread; IPv4 first. */
export const foretoldOfPort = (addresses: readonly Address[], port: number): readonly Address[] =>
  ([4, 6] as const).map((family) => slotsOf(ofFamily(addresses, family))[port % slotCount] ?? '');
