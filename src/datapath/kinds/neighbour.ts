import type { Address } from '../../base/address.ts';
import type { Mac } from '../link.ts';
import { type OutsideKind, replaceOr, withDevice } from './kind.ts';

/** A permanent neighbour: a next hop and its MAC address. */
export interface Neighbour {
  readonly kind: 'neighbour';
  readonly device: string;
  readonly address: Address;
  readonly mac: Mac;
}

/** The tunnel carries no questions for MAC addresses: each next hop in it is made known. */
export const neighbour: OutsideKind<Neighbour> = {
  key: ({ device, address }) => `neighbour ${device} ${address}`,
  text: ({ device, address, mac }) => `neighbour ${address} of ${device} with ${mac}`,
  command: ({ device, address, mac }, verb) =>
    `ip neigh ${replaceOr(verb)} ${address} lladdr ${mac} dev ${device} nud permanent`,
  needsUp: ({ device }) => device,
  hasMark: false,
  goes: () => 'last',
  released: withDevice,
};
