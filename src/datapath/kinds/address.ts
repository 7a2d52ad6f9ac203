import { type Address, familyOf } from '../../base/address.ts';
import * as layout from '../layout.ts';
import type { InUse, OurState } from '../release.ts';
import { noInterface, type OutsideKind, ofKind } from './kind.ts';

/** An address of an interface, made by us. */
export interface InterfaceAddress {
  readonly kind: 'address';
  readonly device: string;
  readonly address: Address;
  readonly prefixLength: number;
  /** `link`: never the source of packets to other networks. */
  readonly scope: 'global' | 'link';
}

/**
 * An egress address is there only while our tables keep the node from answering for it: a host whose connection this node does
 * not know yet would be sent a reset. A tunnel's own address is there before packets come.
 */
const isEgress = ({ scope }: InterfaceAddress): boolean => scope === 'global';

/** An address is taken down unless an exit that is served gives it to packets. */
export const address: OutsideKind<InterfaceAddress> = {
  key: ({ device, address }) => `address ${device} ${address}`,
  text: ({ device, address, prefixLength }) => `address ${address}/${prefixLength} of ${device}`,
  command: (own, verb) =>
    `ip address ${verb} ${own.address}/${own.prefixLength} dev ${own.device} scope ${own.scope}${verb === 'add' ? noSource(own) : ''}`,
  needsUp: noInterface,
  hasMark: false,
  goes: (own) => (isEgress(own) ? 'first' : 'last'),
  comes: (own) => (isEgress(own) ? 'last' : 'first'),
  released: (state, inUse) => ofKind(state.outside, 'address').filter((own) => !isEgressAddress(state, inUse, own)),
};

/** Without this an IPv6 address of an exit would be the source of the node's own connections. */
const noSource = ({ address, scope }: InterfaceAddress): string =>
  familyOf(address) === 6 && scope === 'global' ? ' nodad preferred_lft 0' : '';

/** Whether an exit that is served gives the address to packets that leave by its interface. Two gateways must not have it, so pods do not keep it. */
const isEgressAddress = ({ exitElements }: OurState, { served }: InUse, { device, address }: InterfaceAddress) =>
  exitElements.some(
    ({ set, key }) =>
      set === layout.setNames.lanes(familyOf(address)) &&
      key.endsWith(layout.addressHex(address)) &&
      layout.deviceOfKey(key) === device &&
      served.has(layout.exitIdOfKey(key)),
  );
