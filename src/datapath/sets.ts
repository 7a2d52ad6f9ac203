import { type Family, families } from '../base/address.ts';
import type { NftSet, Table } from '../nftables/object.ts';
import { setNames } from './names.ts';

const addressType = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/** Pod address → its program. Each element counts the pod's packets. */
export const podsMap = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.pods(family),
  key: [addressType[family]],
  value: 'verdict',
  counter: true,
});

/** Pod address → its program, for packets that {@link podsMap} has counted, when their mark is not believed. */
const programsMap = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.programs(family),
  key: [addressType[family]],
  value: 'verdict',
});

/** The addresses of {@link programsMap}: to ask whether one is among them costs less, and most packets are not. */
const steeredSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.steered(family),
  key: [addressType[family]],
});

/**
 * Addresses of pods that leave, or may, with an address of another node. Only conntrack's entry tells their answers
 * from packets of strangers.
 */
const answeredSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.answered(family),
  key: [addressType[family]],
});

/** Addresses of pods whose packets are checked where they come in. Packets without the proof are forged. */
const checkedSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.checked(family),
  key: [addressType[family]],
});

/**
 * The address of a checked pod, twice: as the sender of a packet, and as the end of its connection. Only ICMP errors can have
 * two that differ.
 */
export const endsSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.ends(family),
  key: [addressType[family], addressType[family]],
});

/** The sets and maps that hold pods' addresses. */
export const podSets = (family: Family): readonly NftSet[] => [
  podsMap(family),
  programsMap(family),
  steeredSet(family),
  answeredSet(family),
  checkedSet(family),
  endsSet(family),
];

/** Interfaces of exits. */
export const uplinksSet: NftSet = { kind: 'set', name: setNames.uplinks, key: ['ifname'] };

/** Exit id and interface → source address. */
export const snatMap = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.snat(family),
  key: ['mark', 'ifname'],
  value: addressType[family],
});

/** Exit id and interface of an exit with several addresses → the chain that chooses one. */
export const spreadMap: NftSet = { kind: 'set', name: setNames.spread, key: ['mark', 'ifname'], value: 'verdict' };

/** Slot of a pod, as the low bits of its address → source address. */
export const slotsMap = (id: number, family: Family): NftSet => ({
  kind: 'set',
  name: setNames.slots(id, family),
  key: [addressType[family]],
  value: addressType[family],
});

/** Slot of a connection, as the low bits of its source port → source address. */
export const flowsMap = (id: number, family: Family): NftSet => ({
  kind: 'set',
  name: setNames.flows(id, family),
  key: ['inet_service'],
  value: addressType[family],
});

/** The maps that the addresses of an exit can be in. */
export const addressMaps = (id: number): readonly NftSet[] =>
  families.flatMap((family) => [slotsMap(id, family), flowsMap(id, family)]);

/** Exit id and pod address → the chain that gives the pod its own source ports. */
export const blocksMap = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.blocks(family),
  key: ['mark', addressType[family]],
  value: 'verdict',
});

/** Exit id, interface and source address that belong together. Each element counts the packets that may leave. */
export const lanesSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.lanes(family),
  key: ['mark', 'ifname', addressType[family]],
  counter: true,
});

/** Whether it is one of {@link lanesSet}. */
export const isLanesSet = (name: string): boolean => families.some((family) => name === setNames.lanes(family));

/** Address of an exit → where answers of pods go that somebody asked at the address. */
export const returnsMap = (family: Family): NftSet => answersMap(setNames.returns(family), family);

/** Address of an exit → where answers of the node itself go. */
export const localsMap = (family: Family): NftSet => answersMap(setNames.locals(family), family);

const answersMap = (name: string, family: Family): NftSet => ({
  kind: 'set',
  name,
  key: [addressType[family]],
  value: 'verdict',
});

/** Whether it is one of {@link returnsMap} or {@link localsMap}. */
export const isAnswersSet = (name: string): boolean =>
  families.some((family) => name === setNames.returns(family) || name === setNames.locals(family));

/** Ids of exits through the tunnel. Each element counts them. */
export const tunnelsSet: NftSet = { kind: 'set', name: setNames.tunnels, key: ['mark'], counter: true };

/**
 * Ids of exits with `onUnavailable: "node"`: their packets may leave with the node's address when there is no route.
 */
export const fallbackSet: NftSet = { kind: 'set', name: setNames.fallback, key: ['mark'] };

/** Exit id that came out of the tunnel → its exit. Each element counts the packets. */
export const servedMap: NftSet = {
  kind: 'set',
  name: setNames.served,
  key: ['mark'],
  value: 'verdict',
  counter: true,
};

/** Ids of exits with `addressesOn`: other interfaces of the node may hold their addresses. */
export const elsewhereSet: NftSet = { kind: 'set', name: setNames.elsewhere, key: ['mark'] };

/**
 * The table at interfaces. It counts behind everything else: a next hop that does not answer loses packets behind all
 * hooks of the family inet. And it checks sources before everything else.
 */
export const netdevTable: Table = { kind: 'table', family: 'netdev' };

/** Exit id and its interface. Each element counts the packets that left. */
export const sentSet: NftSet = {
  kind: 'set',
  family: 'netdev',
  name: setNames.sent,
  key: ['mark', 'ifname'],
  counter: true,
};

/** Source addresses that pods' packets have behind a flowtable. Each element counts them; its comment is the exit's id. */
export const fastSet = (family: Family): NftSet => countingSet(setNames.fast(family), [addressType[family]]);

/** Id and source address of packets that a flowtable took out of the tunnel. Each element counts them. */
export const takenSet = (family: Family): NftSet => countingSet(setNames.taken(family), ['mark', addressType[family]]);

/** Source addresses that such packets have only with ids that {@link takenSet} has. Each element counts those with others. */
export const crossedSet = (family: Family): NftSet => countingSet(setNames.crossed(family), [addressType[family]]);

const countingSet = (name: string, key: NftSet['key']): NftSet => ({
  kind: 'set',
  family: 'netdev',
  name,
  key,
  counter: true,
});

/** The sets that count what flowtables took. */
export const fastSets: readonly NftSet[] = [fastSet, takenSet, crossedSet].flatMap((set) => families.map(set));

/** Whether it is one of {@link fastSets}. */
export const isFastSet = (name: string): boolean => fastSets.some((set) => set.name === name);

/** Connection → the exit that it began with, where its pod's program has another for it now. */
export const heldMap: NftSet = { kind: 'set', name: setNames.held, key: ['ct_id'], value: 'verdict' };

/** Types of destinations (RTN_* of linux/rtnetlink.h) that never leave the node or its segment. */
export const ownSet: NftSet = { kind: 'set', name: setNames.own, key: ['fib_addrtype'] };

/** The sets and maps that get their elements one by one. */
export const nodeSets: readonly NftSet[] = [
  ownSet,
  uplinksSet,
  sentSet,
  ...fastSets,
  tunnelsSet,
  fallbackSet,
  elsewhereSet,
  servedMap,
  spreadMap,
  heldMap,
  ...families.flatMap((family) => [
    ...podSets(family),
    snatMap(family),
    blocksMap(family),
    lanesSet(family),
    returnsMap(family),
    localsMap(family),
  ]),
];

/** Ranges of addresses of one family. */
export const rangesSet = (name: string, family: Family, intervals: readonly string[]): NftSet => ({
  kind: 'set',
  name,
  key: [addressType[family]],
  intervals,
});

/** Ports, and ranges of ports. */
export const portsSet = (name: string, intervals: readonly string[]): NftSet => ({
  kind: 'set',
  name,
  key: ['inet_service'],
  intervals,
});
