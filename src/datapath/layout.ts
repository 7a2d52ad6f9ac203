import { type Address, addressBytes, type Family, families } from '../base/address.ts';
import type { Hex } from '../nftables/expression.ts';
import type { NftSet, Table } from '../nftables/object.ts';
import { hostHex } from '../nftables/statement.ts';

/** The numbers that a node's configuration chooses, and that everything on the node must agree on. */
export interface NodeNumbers {
  /** The one bit of the mark that says: this packet is ours to steer. */
  readonly fwmark: number;
  /** The table of an exit is this plus its id. */
  readonly routeTable: number;
  /** The first of three consecutive priorities of policy rules. */
  readonly rulePriority: number;
}

/** The low bits of the mark hold the id of the exit; kube-proxy's 0x4000 and 0x8000 stay free. */
export const exitIdMask = 0x3fff;

/** Names of our chains; a prefix and an exit's id or a program's hash make the others. */
export const chainNames = {
  classify: 'classify',
  nat: 'nat',
  guard: 'guard',
  drop: 'exit-drop',
  exit: (id: number) => `exit-${id}`,
  sent: (device: string) => `sent-${device}`,
} as const;

const programPrefix = 'program-';
const exitPrefix = 'exit-';

/** Whether a chain holds the program of a pod. */
export const isProgramChain = (chain: string): boolean => chain.startsWith(programPrefix);

/** The id of the exit that a chain belongs to; `undefined` for other chains. */
export function exitIdOfChain(chain: string): number | undefined {
  const id = Number(chain.slice(exitPrefix.length));
  return chain.startsWith(exitPrefix) && Number.isInteger(id) ? id : undefined;
}

/** The sets and maps of the node; those of programs carry the program's name. */
export const setNames = {
  own: 'own',
  pods: (family: Family) => `pods${family}`,
  snat: (family: Family) => `snat${family}`,
  lanes: (family: Family) => `lanes${family}`,
  cluster: (family: Family) => `cluster${family}`,
  sent: 'sent',
} as const;

const addressType = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/** Pod address → what becomes of its packets. Each element counts them. */
export const podsMap = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.pods(family),
  key: [addressType[family]],
  value: 'verdict',
  counter: true,
});

/** Exit id → source address. */
export const snatMap = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.snat(family),
  key: ['mark'],
  value: addressType[family],
});

/** Exit id, interface and source address that belong together. Each element counts the packets that may leave. */
export const lanesSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.lanes(family),
  key: ['mark', 'ifname', addressType[family]],
  counter: true,
});

/**
 * The table that counts where nothing can come between a packet and its interface any more: a next hop that does not
 * answer loses packets behind all hooks of the family inet.
 */
export const sentTable: Table = { kind: 'table', family: 'netdev' };

/** Exit id and its interface. Each element counts the packets that left. */
export const sentSet: NftSet = {
  kind: 'set',
  family: 'netdev',
  name: setNames.sent,
  key: ['mark', 'ifname'],
  counter: true,
};

/** Types of destinations (RTN_* of linux/rtnetlink.h) that never leave the node or its segment. */
export const ownSet: NftSet = { kind: 'set', name: setNames.own, key: ['fib_addrtype'] };

/** The sets and maps that get their elements one by one. */
export const nodeSets: readonly NftSet[] = [
  ownSet,
  sentSet,
  ...families.flatMap((family) => [podsMap(family), snatMap(family), lanesSet(family)]),
];

/** Ranges of addresses of one family. */
export const rangesSet = (name: string, family: Family, intervals: readonly string[]): NftSet => ({
  kind: 'set',
  name,
  key: [addressType[family]],
  intervals,
});

/** An address as the key or value of an element. */
export const addressHex = (address: Address): Hex => Buffer.from(addressBytes(address)).toString('hex');

/** An exit's id as the key of an element of {@link snatMap}. */
export const exitKey = (id: number): Hex => hostHex(id);

/** The key of an element of {@link lanesSet}. */
export const laneKey = (id: number, device: string, address: Address): Hex => sentKey(id, device) + addressHex(address);

/** The key of an element of {@link sentSet}. */
export const sentKey = (id: number, device: string): Hex =>
  exitKey(id) + Buffer.from(device).toString('hex').padEnd(32, '0');

/** The interface in the key of an element of {@link sentSet} or {@link lanesSet}. */
export const deviceOfKey = (key: Hex): string => Buffer.from(key.slice(8, 40), 'hex').toString().replace(/\0+$/, '');

/** The exit's id in the key of an element of {@link snatMap}, {@link lanesSet} or {@link sentSet}. */
export const exitIdOfKey = (key: Hex): number => Buffer.from(key.slice(0, 8), 'hex').readUInt32LE();

/** Priorities of our policy rules: jump over the exits, the exits, and where the jump lands. */
export const rulePriorities = (first: number) => ({ skip: first, exits: first + 1, end: first + 2 });
