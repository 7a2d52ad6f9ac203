import { type Address, addressBytes, type Family, families } from '../base/address.ts';
import type { Hex } from '../nftables/expression.ts';
import { dataTypes, type Element, type NftSet, type Table } from '../nftables/object.ts';
import { hostHex } from '../nftables/statement.ts';

/** The numbers that a node's configuration chooses, and that everything on the node must agree on. */
export interface NodeNumbers {
  /** The one bit of the mark that says: this packet is ours to steer. */
  readonly fwmark: number;
  /** The table of an exit is this plus its id. */
  readonly routeTable: number;
  /** The first of six consecutive priorities of policy rules. */
  readonly rulePriority: number;
}

/** The low bits of the mark hold the id of the exit; kube-proxy's 0x4000 and 0x8000 stay free. */
export const exitIdMask = 0x3fff;

/** Names of our chains; a prefix and an exit's id or a program's hash make the others. */
export const chainNames = {
  classify: 'classify',
  midStream: 'mid-stream',
  returns: 'returns',
  local: 'local',
  nat: 'nat',
  guard: 'guard',
  judge: 'judge',
  /** Of packets whose mark somebody may have changed. */
  lost: 'lost',
  stray: 'stray',
  unmarked: 'unmarked',
  decide: 'decide',
  drop: 'exit-drop',
  /** Of each connection's first packet, and of answers. */
  begin: 'begin',
  answers: 'answers',
  /** What says that it is from a pod whose sources are checked, and what is not. */
  prove: 'prove',
  forged: 'forged',
  /** Of the tunnel. */
  arrive: 'arrive',
  input: 'input',
  senders: 'senders',
  forward: 'forward',
  untrackedIn: 'untracked-in',
  untrackedOut: 'untracked-out',
  /** Of a gateway. */
  replies: 'replies',
  owned: 'owned',
  exit: (id: number) => `exit-${id}`,
  /** Of an exit with several addresses. */
  exitSnat: (id: number) => `exit-${id}-snat`,
  /** Of answers of pods, and of the node itself, by an exit. */
  exitReturns: (id: number) => `exit-${id}-returns`,
  exitLocal: (id: number) => `exit-${id}-local`,
  /** Of answers by an exit on a node without a default route. */
  exitBack: (id: number) => `exit-${id}-back`,
  /** A chain's name holds no colons. */
  ports: (id: number, address: Address) => `${portsPrefix}${id}-${address.replaceAll(':', '_')}`,
  sent: (device: string) => `${sentPrefix}${device}`,
  /** At the node's end of a pod's interface. */
  from: (device: string) => `${sourcePrefix}${device}`,
  /** What is left of a pod's packets that have none of its addresses. */
  unowned: 'unowned',
} as const;

const portsPrefix = 'ports-';
const sentPrefix = 'sent-';
const sourcePrefix = 'from-';
const programPrefix = 'program-';
const entrySuffix = '-entry';
const exitPrefix = 'exit-';

/** Whether a chain at a hook may be one of ours, in the table of a family: those have fixed names, or that of an interface. */
export const isBaseChain = (chain: string, family?: 'netdev'): boolean =>
  family === undefined
    ? Object.values(chainNames).some((name) => name === chain)
    : chain.startsWith(sentPrefix) || chain.startsWith(sourcePrefix);

/** Whether a chain has one of our names, in the table of whichever family. */
export const isOurChain = (chain: string): boolean =>
  Object.values(chainNames).some((name) => name === chain) ||
  [programPrefix, exitPrefix, portsPrefix, sentPrefix, sourcePrefix].some((prefix) => chain.startsWith(prefix));

/** Whether a chain holds the program of a pod. */
export const isProgramChain = (chain: string): boolean => chain.startsWith(programPrefix);

/** The chain by which packets of checked pods come to a program. */
export const entryOf = (program: string): string => `${program}${entrySuffix}`;

/** Whether a chain is one of {@link entryOf}. */
export const isEntryChain = (chain: string): boolean => isProgramChain(chain) && chain.endsWith(entrySuffix);

/** The program that a chain leads to, if it is one of {@link entryOf}; else the chain. */
export const programBehind = (chain: string): string =>
  isEntryChain(chain) ? chain.slice(0, -entrySuffix.length) : chain;

/** Whether a chain is at the node's end of a pod's interface. */
export const isSourceChain = (chain: string): boolean => chain.startsWith(sourcePrefix);

/** Whether a chain gives a pod source ports of its own. */
export const isPortsChain = (chain: string): boolean => chain.startsWith(portsPrefix);

/** The id of the exit that a chain stands for: the one that steers to it; `undefined` for other chains. */
export function exitIdOfChain(chain: string): number | undefined {
  const id = Number(chain.slice(exitPrefix.length));
  return chain.startsWith(exitPrefix) && Number.isInteger(id) ? id : undefined;
}

/** The id of the exit that a chain or set is a part of: not the one that steers; `undefined` for other chains and sets. */
export function exitIdOfPart(name: string): number | undefined {
  const id = /^exit-(\d+)-(?:snat|returns|local|back|slots[46]|flows[46])$/.exec(name)?.[1];
  return id === undefined ? undefined : Number(id);
}

/** Whether a chain is one of {@link chainNames.exitBack}. */
export const isBackChain = (chain: string): boolean => exitIdOfPart(chain) !== undefined && chain.endsWith('-back');

/** The sets and maps of the node; those of programs carry the program's name. */
export const setNames = {
  own: 'own',
  pods: (family: Family) => `pods${family}`,
  programs: (family: Family) => `programs${family}`,
  steered: (family: Family) => `steered${family}`,
  checked: (family: Family) => `checked${family}`,
  uplinks: 'uplinks',
  inside: (family: Family) => `inside${family}`,
  snat: (family: Family) => `snat${family}`,
  blocks: (family: Family) => `blocks${family}`,
  lanes: (family: Family) => `lanes${family}`,
  spread: 'spread',
  /** Of an exit with several addresses. */
  slots: (id: number, family: Family) => `exit-${id}-slots${family}`,
  flows: (id: number, family: Family) => `exit-${id}-flows${family}`,
  /** Of programs from before they had ranges of their own. */
  cluster: (family: Family) => `cluster${family}`,
  returns: (family: Family) => `returns${family}`,
  locals: (family: Family) => `locals${family}`,
  sent: 'sent',
  answered: (family: Family) => `answered${family}`,
  tunnels: 'tunnels',
  fallback: 'fallback',
  elsewhere: 'elsewhere',
  /** Of the tunnel. */
  served: 'served',
  senders: (family: Family) => `senders${family}`,
  /** Of a gateway. */
  egress: (family: Family) => `egress${family}`,
  remote: (family: Family) => `remote${family}`,
  owned: (family: Family) => `owned${family}`,
} as const;

/** What is there only while the tunnel is, in the order in which it can be removed: who refers to others first. */
export const tunnelParts = {
  chains: [
    chainNames.arrive,
    chainNames.input,
    chainNames.senders,
    chainNames.forward,
    chainNames.untrackedIn,
    chainNames.untrackedOut,
  ],
  sets: [setNames.served, ...families.map(setNames.senders)],
} as const;

/** What is there only while the node serves exits as their gateway. */
export const gatewayParts = {
  chains: [chainNames.replies, chainNames.owned],
  sets: [setNames.egress, setNames.remote, setNames.owned].flatMap((name) => families.map(name)),
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

/** Pod address → its program, for packets that {@link podsMap} has counted and whose mark is not believed. */
export const programsMap = (family: Family): NftSet => ({
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
 * Addresses of pods whose packets leave with an address of another node, or may. Answers come to them that only the
 * connection, as conntrack knows it, tells from packets of strangers.
 */
const answeredSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.answered(family),
  key: [addressType[family]],
});

/** Addresses of pods whose packets are checked where they come in: without the proof of that they are forged. */
export const checkedSet = (family: Family): NftSet => ({
  kind: 'set',
  name: setNames.checked(family),
  key: [addressType[family]],
});

/** The sets and maps that hold pods' addresses. */
export const podSets = (family: Family): readonly NftSet[] => [
  podsMap(family),
  programsMap(family),
  steeredSet(family),
  answeredSet(family),
  checkedSet(family),
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

/** Ids of exits whose packets go through the tunnel. Each element counts them. */
export const tunnelsSet: NftSet = { kind: 'set', name: setNames.tunnels, key: ['mark'], counter: true };

/** Ids of exits whose packets may leave with the node's address when the exit has no route. */
export const fallbackSet: NftSet = { kind: 'set', name: setNames.fallback, key: ['mark'] };

/** Exit id that came out of the tunnel → its exit. Each element counts the packets. */
export const servedMap: NftSet = {
  kind: 'set',
  name: setNames.served,
  key: ['mark'],
  value: 'verdict',
  counter: true,
};

/** Ids of exits whose addresses may be on other interfaces of the node than the exit's. */
export const elsewhereSet: NftSet = { kind: 'set', name: setNames.elsewhere, key: ['mark'] };

/**
 * The table at interfaces. It counts where nothing can come between a packet and its interface any more: a next hop that
 * does not answer loses packets behind all hooks of the family inet. And it checks sources where nothing has come between
 * a pod and its packet yet.
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

/** Not the id of any exit: the answers that a gateway sends to pods through the tunnel. */
export const replyId = 0;

/** The sets and maps that get their elements one by one. */
export const nodeSets: readonly NftSet[] = [
  ownSet,
  uplinksSet,
  sentSet,
  tunnelsSet,
  fallbackSet,
  elsewhereSet,
  servedMap,
  spreadMap,
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

/** An address as the key or value of an element. */
export const addressHex = (address: Address): Hex => Buffer.from(addressBytes(address)).toString('hex');

/** An exit's id as the key of an element of {@link tunnelsSet}, {@link fallbackSet}, {@link elsewhereSet} or {@link servedMap}. */
export const exitKey = (id: number): Hex => hostHex(id);

/** The key of an element of {@link blocksMap}. */
export const blockKey = (id: number, address: Address): Hex => exitKey(id) + addressHex(address);

/** The pod's address in the key of an element of {@link blocksMap}. */
export const podOfBlockKey = (key: Hex): Hex => key.slice(exitKey(0).length);

/** The key of an element of {@link lanesSet}. */
export const laneKey = (id: number, device: string, address: Address): Hex => sentKey(id, device) + addressHex(address);

/** A slot as the key of an element of {@link slotsMap} or {@link flowsMap}. */
export const slotKey = (slot: number, { key: [type = 'mark'] }: NftSet): Hex =>
  slot.toString(16).padStart(2 * dataTypes[type].length, '0');

/** The key of an element of {@link sentSet}, {@link snatMap} or {@link spreadMap}. */
export const sentKey = (id: number, device: string): Hex =>
  exitKey(id) + Buffer.from(device).toString('hex').padEnd(32, '0');

/** The interface in the key of an element of {@link sentSet}, {@link snatMap}, {@link spreadMap} or {@link lanesSet}. */
export const deviceOfKey = (key: Hex): string => Buffer.from(key.slice(8, 40), 'hex').toString().replace(/\0+$/, '');

/** The exit's id in the key of an element of any set of exits. */
export const exitIdOfKey = (key: Hex): number => Buffer.from(key.slice(0, 8), 'hex').readUInt32LE();

/** The id of the exit that an element of any set of exits is about; `undefined` when it leads to none of ours. */
export function exitIdOfElement({ set, key, verdict }: Element): number | undefined {
  if (!isAnswersSet(set)) return exitIdOfKey(key);
  return verdict && 'chain' in verdict ? exitIdOfPart(verdict.chain) : undefined;
}

/** Of routes of exits. IPv6 would make it of none: the same for both families keeps one number in what people see. */
export const exitMetric = 1024;
/** The worst metric there is: chosen only when nothing else is left. */
export const lastMetric = 0xffffffff;

/** Priorities of our policy rules: jump over the exits, the exits, and where the jump lands. */
export const rulePriorities = (first: number) => ({ skip: first, exits: first + 1, end: first + 2 });

/** Behind them, for packets from the tunnel: jump of those without an exit, end of the others, and where the jump lands. */
export const tunnelPriorities = (first: number) => ({ noExit: first + 3, stray: first + 4, end: first + 5 });
