import { deviceHex, hostHex } from './load.ts';
import type { Statement } from './object.ts';

/** The statements that ask the node's routes about a packet. */

/** The destination is of one of the types in a set of `fib_addrtype`: the node itself, say. */
export const destinationTypeIn = (set: string): Statement => ({
  text: `fib daddr type @${set}`,
  expressions: [
    { name: 'fib', field: 'daddr', result: 'type', dreg: 1 },
    { name: 'lookup', set, sreg: 1 },
  ],
});

/** RTN_LOCAL of linux/rtnetlink.h. */
const local = 2;

const isLocal = (field: 'daddr' | 'saddr' | 'saddr . oif'): Statement => ({
  text: `fib ${field} type local`,
  expressions: [
    { name: 'fib', field, result: 'type', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(local) },
  ],
});

/** The destination address is one of the node's own at this moment. */
export const destinationIsLocal = isLocal('daddr');

/** The source address is one of the node's own at this moment. */
export const sourceIsLocal = isLocal('saddr');

/** The output interface has the source address. Works in postrouting. */
export const sourceIsOfOutput = isLocal('saddr . oif');

/**
 * The node reaches the source address by the input interface, or does not (the strict filter of RFC 3704, section 2.2).
 * Works in prerouting, input and forward.
 */
export const sourceIsBehindInput = (is: boolean): Statement => ({
  text: `fib saddr . iif oif ${is ? 'exists' : 'missing'}`,
  expressions: [
    { name: 'fib', field: 'saddr . iif', result: 'oif', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(is ? 1 : 0) },
  ],
});

/** The node's routes without a mark have the destination behind the interface. Not for output. */
export const routeLeavesBy = (device: string): Statement => ({
  text: `fib daddr oifname "${device}"`,
  expressions: [
    { name: 'fib', field: 'daddr', result: 'oifname', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: deviceHex(device) },
  ],
});

/** The node's routes without a mark have a way to the destination, and it is not the node itself. */
export const destinationHasRoute: Statement = {
  text: 'fib daddr oif exists',
  expressions: [
    { name: 'fib', field: 'daddr exists', result: 'oif', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(1) },
  ],
};

/** The destination address is none of the node's own, and the node would send there by where the packet came in. */
export const isSentBack: Statement = {
  text: 'fib daddr type != local fib daddr . iif oif exists',
  expressions: [
    { name: 'fib', field: 'daddr', result: 'type', dreg: 1 },
    { name: 'cmp', op: 'neq', sreg: 1, data: hostHex(local) },
    { name: 'fib', field: 'daddr . iif', result: 'oif', dreg: 1 },
    { name: 'cmp', op: 'eq', sreg: 1, data: hostHex(1) },
  ],
};
