import type { Address } from '../../base/address.ts';
import type { Mac } from '../link.ts';
import { noInterface, type OutsideKind, replaceOr, withDevice } from './kind.ts';

/** A permanent forwarding entry of a tunnel device: packets for the MAC address go to the underlay address. */
export interface Forwarding {
  readonly kind: 'forwarding';
  readonly device: string;
  readonly mac: Mac;
  readonly remote: Address;
}

/** An entry leads to the other end of the tunnel. */
export const forwarding: OutsideKind<Forwarding> = {
  key: ({ device, mac }) => `forwarding ${device} ${mac}`,
  text: ({ device, mac, remote }) => `forwarding entry ${mac} of ${device} to ${remote}`,
  command: ({ device, mac, remote }, verb) =>
    `bridge fdb ${replaceOr(verb)} ${mac} dev ${device} dst ${remote} self permanent`,
  needsUp: noInterface,
  hasMark: false,
  goes: () => 'last',
  released: withDevice,
};
