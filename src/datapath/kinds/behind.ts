import type { Address } from '../../base/address.ts';
import { placesOf } from '../behind.ts';
import { noInterface, type OutsideKind, type Verb } from './kind.ts';

/** An address of IPv4 on an interface of others that the kernel finds there only when no other interface has it. */
export interface Behind {
  readonly kind: 'behind';
  readonly device: string;
  readonly address: Address;
}

/** Only the record knows the addresses that were put behind. */
export const behind: OutsideKind<Behind> = {
  key: ({ device, address }) => `behind ${device} ${address}`,
  text: ({ device, address }) => `metric 230 of local route ${address} of ${device}`,
  command: rank,
  needsUp: noInterface,
  hasMark: false,
  goes: () => 'last',
  released: (_, { exits: used, remembered: { exits, behind = [] } }) => {
    const needed = new Set(placesOf(exits.filter(({ id }) => used.has(id))).map(({ address }) => address));
    return behind.filter(({ address }) => !needed.has(address)).map((place) => ({ kind: 'behind', ...place }));
  },
};

/** The address stays the node's at every moment. */
function rank({ address, device }: Behind, verb: Verb): string {
  const route = (metric: number) =>
    `local ${address} dev ${device} table local proto kernel scope host src ${address} metric ${metric}`;
  const [next, before] = verb === 'add' ? [230, 0] : [0, 230];
  return `ip route append ${route(next)} && ip route del ${route(before)}`;
}
