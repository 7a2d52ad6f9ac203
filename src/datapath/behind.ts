import type { Address } from '../base/address.ts';
import type { ResolvedExit } from './exit.ts';

/** An address, and the interface that must have it for packets to leave with it. */
export interface Place {
  readonly device: string;
  readonly address: Address;
}

/**
 * Addresses of IPv4 that the guard looks for on the interface of their exit. When several interfaces have one, the kernel
 * says that it is on the first: the others' routes must stand behind. IPv6 asks the interface.
 */
export const placesOf = (exits: readonly ResolvedExit[]): readonly Place[] =>
  exits
    .filter(({ gateway, addressesOn }) => gateway === undefined && addressesOn === undefined)
    .flatMap(({ device, ways }) =>
      ways
        .filter(({ family }) => family === 4)
        .flatMap(({ addresses }) => addresses.map((address) => ({ device, address }))),
    );
