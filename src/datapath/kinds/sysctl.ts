import { putBack } from '../kept.ts';
import { noInterface, type OutsideKind } from './kind.ts';

/** A kernel parameter below /proc/sys, by its path there: `net/ipv4/conf/eth1/rp_filter` (an interface may hold dots). */
export interface Sysctl {
  readonly kind: 'sysctl';
  readonly name: string;
  readonly value: string;
}

/** To take a parameter down is to give it the value that it had before us. */
export const sysctl: OutsideKind<Sysctl> = {
  key: ({ name }) => `sysctl ${name}`,
  // In the words of `sysctl`. The path keeps its slashes, because an interface's name may hold dots.
  text: ({ name }) => `sysctl ${name}`,
  describe: ({ name, value }, observed) => [`sysctl ${name} is ${observed.value}, expected ${value}`],
  command: ({ name, value }) => `sysctl -w ${name}=${value}`,
  needsUp: noInterface,
  hasMark: false,
  goes: () => 'first', // while the table still holds their values, should the process be killed
  released: (state, { exits, remembered }) => putBack(state, exits, remembered).parameters,
};
