import type { Address, Family } from '../base/address.ts';
import type { Chain, Element, NftSet, Table } from '../nftables/object.ts';
import type { Counter } from '../nftables/observed.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { Change } from './difference.ts';
import type { Filter } from './filter.ts';
import type { Kept } from './kept.ts';
import type { Needs } from './needs.ts';
import type { HostObject, Link, Mac, NodeRoute, NodeRule, Other } from './objects.ts';
import type { OurState } from './release.ts';

/** An address on an interface. */
export interface LinkAddress {
  readonly address: Address;
  readonly family: Family;
  readonly prefixLength: number;
  /** rtnetlink's scope: 0 is global. */
  readonly scope: number;
  /** Neither tentative nor deprecated nor found to be somebody else's. */
  readonly usable: boolean;
}

/** An address, and the interface that holds it. */
export interface HeldAddress extends LinkAddress {
  readonly deviceIndex: number;
  /** We put it there. */
  readonly ours: boolean;
}

/** The way of the node's packets without a better route. */
export interface DefaultRoute {
  readonly device: Link;
  readonly via?: Address;
  /** The next hop is behind the interface, in whatever network. */
  readonly onlink?: true;
}

/** An address that packets come from, and the interface that they come in by. */
export interface Sender {
  readonly address: Address;
  readonly input: string;
}

/** A packet that the node has to send on. */
export interface PassingPacket {
  readonly destination: Address;
  readonly mark: number;
  /** Absent: it is the node's own. */
  readonly sender?: Sender;
}

/** Where the node sends a packet of its own, by the rules and routes that are there now. */
export interface RouteTaken {
  /** `local`, `broadcast`, `anycast`, `multicast`: it stays here or on the segment; `unicast`: it goes on. */
  readonly type: string;
  readonly device?: string;
  readonly via?: Address;
  /** The address that the node itself would send from. */
  readonly source?: Address;
  /** The table that says so; absent where the kernel does not tell, for `unreachable` and its like. */
  readonly table?: number;
}

/** The MAC addresses of the two ends of the tunnel. */
export interface TunnelEnds {
  readonly sourceMac: Mac;
  readonly destinationMac: Mac;
}

/** How packets travel that introduce connections. */
export interface Introduction {
  /** Packet mark: in the tunnel the exit's id; in the node's own stack with the bit too that says "ours". */
  readonly mark: number;
  /** TTL or hop limit, 1…255. A router that takes the last one ends the packet before its conntrack has kept the flow. */
  readonly hops: number;
  /** With them frames go straight into the tunnel; without them packets pass the node's conntrack, NAT and routing. */
  readonly ends?: TunnelEnds;
}

/** A connection as conntrack tracks it: the addresses of its first packet, and those of its answers, after translation. */
export interface Flow {
  /** Conntrack's number of the connection, a hash of 32 bits; absent for one that is not in the kernel. */
  readonly id?: number;
  readonly family: Family;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly source: Address;
  readonly destination: Address;
  /** Of TCP, UDP and SCTP, before translation; 0…65535. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** The destination after DNAT. */
  readonly replySource: Address;
  readonly replySourcePort?: number;
  /** The source after SNAT. */
  readonly replyDestination: Address;
  readonly replyDestinationPort?: number;
  /** TCP in the state ESTABLISHED: the handshake is over (or was never seen), and neither side has begun to close. */
  readonly established?: true;
}

/** An observed state, and its generation of the ruleset: a change decided on it fails in a later generation. */
export interface Observed<T> {
  readonly state: T;
  readonly generation: number;
}

/** The counters of our rules and elements. Exits are told by id, pods by the comments of their elements. */
export interface Counters {
  /** Packets that programs, or the tunnel, sent to an exit. */
  readonly steered: ReadonlyMap<number, Counter>;
  /** Packets that came out of the tunnel for an exit that this node serves. */
  readonly served: ReadonlyMap<number, Counter>;
  /**
   * Packets that left by an exit: by its interface, with its address; or into the tunnel. Counted since `steered` was;
   * without an entry where nobody counts.
   */
  readonly left: ReadonlyMap<number, Counter>;
  /** Packets from pods that have a program. */
  readonly pods: ReadonlyMap<string, Counter>;
  /** Packets for the exit `drop`, or of a family that their exit lacks. */
  readonly dropped: Counter;
  /** Packets that the guard kept from leaving in a wrong way. */
  readonly guarded: Counter;
  /**
   * Packets that lost our mark to another program: packets of pods got it back, packets out of the tunnel were dropped.
   */
  readonly unmarked: Counter;
  /** Packets with a false source: another than the sending pod's, or a checked pod's without the proof. */
  readonly forged: Counter;
  /** Packets that came out of the tunnel for an exit that is not served here, and are no answers. */
  readonly unserved: Counter;
  /** Packets for the tunnel's port from senders that are no nodes, or from pods to that port of anybody. */
  readonly strangers: Counter;
}

/** What is heard of a change in the kernel. */
export interface Notice {
  /** Packets may not be steered any more. */
  readonly isUrgent: boolean;
  /** Something was lost for want of room: nobody knows what it told. */
  readonly isLoss: boolean;
  /** An interface came or went as pods have it: a runtime is at work. */
  readonly isOfPods: boolean;
}

/** Takes what is heard. */
export type Changed = (notice: Notice) => void;

/** A ping of an address, sent into the tunnel to one gateway, whatever the routes say. */
export interface Question {
  /** Underlay address of the gateway. */
  readonly gateway: Address;
  /** The address that is asked for. */
  readonly address: Address;
  /** The answer comes to this address of the node, by the gateway's ordinary routes. Of the family of `address`. */
  readonly source: Address;
  /** Comes back with the answer; an even number of bytes. */
  readonly data: Buffer;
}

/** Takes what comes in at the sockets of an {@link Asker}. */
export interface AskerEars {
  /** A gateway hints that addresses move: its MAC address in the tunnel. */
  hinted(from: Mac): void;
  /** There are answers to be read, while somebody listens for them. */
  answered(): void;
}

/** Asks gateways whether they hold addresses. */
export interface Asker extends Disposable {
  /** Sends questions from this node's end of the tunnel. A question that cannot be sent is lost. */
  ask(own: Address, questions: readonly Question[]): Promise<void>;
  /** The data of the answers that came since the last call, and of whatever else looks like one. Does not wait. */
  answers(): readonly Buffer[];
  /** Whether `answered` is called as soon as there are answers, until they are read. Else they wait for the next look. */
  listen(isWanted: boolean): void;
}

/** What is a pod's alone in our tables, and who else uses its program. */
export interface OwnState {
  /** Elements at its addresses, also those of another pod that has one of them now. */
  readonly elements: readonly Element[];
  /** Chains at its interfaces. */
  readonly chains: readonly Chain[];
  /** How many rules and elements elsewhere lead to its program, and to the entry of that; of those that are there. */
  readonly references: ReadonlyMap<string, number>;
}

/** Questions to the machine, and changes of it, for decisions. */
export interface Host {
  /** Undefined when there is no interface of that name or index. */
  readLink(nameOrIndex: string | number): Promise<Link | undefined>;
  listAddresses(link: Link): Promise<readonly HeldAddress[]>;
  /** The addresses of all interfaces. */
  listAllAddresses(): Promise<readonly HeldAddress[]>;
  /**
   * The interface that the kernel says an address of IPv4 is on, the first of several, and whether we put it behind
   * others. Undefined when the node does not have the address.
   */
  firstHolder(address: Address): Promise<{ readonly device: string; readonly behind: boolean } | undefined>;
  /** Of several next hops one that is alive, by the `preferred` interface if there is such a one. */
  defaultRoute(family: Family, preferred?: Link): Promise<DefaultRoute | undefined>;
  /** Whether the node reaches an address without a next hop: `ip route get`. */
  isOnLink(address: Address): Promise<boolean>;
  /** The way of a packet to an address, with a mark or without: `ip route get`. Undefined when there is none. */
  routeTo(address: Address, mark?: number): Promise<RouteTaken | undefined>;
  /**
   * The same for a packet of whomever. Undefined also when the kernel would not take it from its sender, as a reverse path
   * filter wants.
   */
  wayOf(packet: PassingPacket): Promise<RouteTaken | undefined>;
  /** All policy rules, of IPv4 first, and in the order in which the kernel asks them. */
  listRules(): Promise<readonly NodeRule[]>;
  /** All routes of a table, whoever made them. */
  listRoutes(family: Family, table: number): Promise<readonly NodeRoute[]>;
  /** Objects with our number or name that are not ours by their shape. */
  listOthers(node: NodeState | undefined): Promise<readonly Other[]>;
  /** Base chains of others that filter, without their rules. */
  listFilters(): Promise<readonly Filter[]>;
  /** Tables in use of the older iptables. Nobody else can read their rules. */
  listLegacyTables(family: Family): readonly string[];
  /** Kernel parameters: undefined when there is none of that name. */
  readSysctl(name: string): string | undefined;
  /** Values of such parameters from before us that are kept in our table. */
  listKept(): Promise<readonly Kept[]>;

  /**
   * The same machine for many questions without changes: equal questions are asked of the kernel once, so later changes
   * are not seen. To be disposed of.
   */
  look(): Host & Disposable;

  /**
   * Until disposed of, or {@link apply}, equal questions about links, addresses, rules and routes are asked once: for who holds the store's
   * lock and is about to decide.
   */
  onceEach(): Disposable;

  /** The needed objects that are there; the contents of a program's sets only with `contents`. */
  observe(node: NodeState, needs: Needs, options: { contents: boolean }): Promise<Observed<HostObject[]>>;
  /** Of the needed objects those that {@link desiredBesideNoted} names; `undefined` when the ruleset is not of `generation`. */
  observeBesideNoted(node: NodeState, needs: Needs, generation: number): Promise<HostObject[] | undefined>;
  /** Sets of ranges that are there, with the ranges that are in them. */
  readRanges(sets: readonly NftSet[]): Promise<readonly NftSet[]>;
  /** What is one pod's alone; `undefined` when the ruleset is not of `generation`. */
  observeOwn(
    attachment: Pick<SteeredAttachment, 'addresses' | 'sources' | 'program'>,
    generation: number,
  ): Promise<OwnState | undefined>;
  /** The ruleset's number: it grows by one with each change of whomever. */
  generation(): Promise<number>;
  /**
   * A text that tells this ruleset from that of every other network namespace, and of every other time that the machine was
   * started. Undefined where the kernel does not tell (before Linux 5.14).
   */
  place(): string | undefined;
  /**
   * Reads everything we own, for all attachments: objects with our numbers and the shape that `node` gives them. Routes
   * are looked for in the tables of our rules and of its exits. Addresses are its own, and others on their interfaces
   * that the kernel knows as ours. With `undefined`, without a record, any numbers will do, and all addresses of the
   * node are read.
   */
  observeOurs(node: NodeState | undefined): Promise<Observed<OurState>>;
  /**
   * Calls back, until disposed of, after every change in the kernel that may matter to {@link observe} or to another
   * question here; some turn out not to.
   */
  watch(changed: Changed): Disposable;
  /** The counters since the table was made. */
  readCounters(): Promise<Counters>;
  /** The state of a next hop in the kernel's words; undefined when it did not have to ask for it of late. */
  readNeighbour(device: string, address: Address): Promise<string | undefined>;
  /** Elements of the pods' maps whose comment begins with `mark`; looked up by address where the addresses are known. */
  findElements(mark: string, addresses?: readonly Address[]): Promise<readonly Element[]>;
  /** Elements by which connections stay with the exit that they began with. */
  listHeld(): Promise<readonly Element[]>;
  /** How many rules and elements lead to one of our chains in the table of the family inet; 0 without the chain. */
  countReferences(chain: string): Promise<number>;
  /** Elements by which exits are served to other nodes. */
  listServed(): Promise<readonly Element[]>;
  /** Tables with our name that hold nothing of ours: somebody else made them. */
  listOthersTables(): Promise<readonly Table[]>;
  /** Whether our table of the family inet is there. */
  hasTable(): Promise<boolean>;
  /** Whether the kernel has the egress hook of netdev. Asked by trying: changes nothing, but is not cheap. */
  hasEgressHook(): Promise<boolean>;

  /** Whether the kernel lets rules give labels to connections. */
  hasLabels(): Promise<boolean>;

  /**
   * From now on {@link apply} passes over what others change in tables of their own: a state that is read while this holds is still the
   * state of now. Of an earlier one nobody knows that.
   */
  besideOthers(): Disposable;

  /**
   * Makes the changes in the order of `planOf`: what packets are sent to before nftables, what is stale after it. New sets
   * and chains may be a transaction of their own, before the other. Returns by how much the ruleset's generation is more than
   * `generation` then, by ours and by those of others that were passed over; `undefined` when
   * the ruleset is not of `generation` any more: nothing in nftables is changed then, unless somebody came between the two;
   * what stands before them is done.
   * Throws `cannot-mark` when all is done but marks at interfaces.
   */
  apply(changes: readonly Change[], generation: number): Promise<number | undefined>;
  /** Sets interfaces down, where name and index still belong together. */
  setDown(links: readonly { readonly name: string; readonly index: number }[]): Promise<void>;
  /** Forgets the connections of a pod's address, or only some of them. */
  deleteFlows(address: Address, only?: (flow: Flow) => boolean): Promise<void>;
  /** Forgets some connections of any of the addresses, by one listing for each family. Not cheap where there are many. */
  deleteFlowsOfAny(addresses: readonly Address[], only: (flow: Flow) => boolean): Promise<void>;
  /** Forgets the connections whose packets leave with an address, and those to the address itself, or only some of them. */
  deleteFlowsTo(address: Address, only?: (flow: Flow) => boolean): Promise<void>;
  /** Forgets chosen connections among all of a family: not cheap where there are many. */
  forgetFlows(family: Family, choose: (all: readonly Flow[]) => Promise<ReadonlySet<Flow>>): Promise<void>;
  /** Numbers of all connections of a family. Not cheap where there are many. */
  listConnections(family: Family): Promise<readonly number[]>;
  /** The connections that addresses began, by one listing for each family. Not cheap where there are many. */
  listFlows(sources: readonly Address[]): Promise<readonly Flow[]>;
  /**
   * Replaces what conntrack knows of connections of TCP, or gives them back: established, with their earlier translation, but
   * leaving with `source`.
   */
  restoreFlows(flows: readonly Flow[], source: Address): Promise<void>;
  /** The connections that leave with an address: SNAT gave it to them, or its owner began them. */
  listFlowsTo(address: Address): Promise<readonly Flow[]>;
  /** Tells the neighbours on an interface that addresses are here now. */
  announce(device: string, addresses: readonly Address[]): Promise<void>;
  /**
   * Opens sockets for questions to gateways, whose answers come in by an interface. Throws an Error with `code`: `EPERM`,
   * `ENODEV`.
   */
  openAsker(underlay: Link, ears: AskerEars): Asker;
  /** Sends for each connection of TCP an empty packet of its pod, for the conntracks on its way to know it by. */
  primeFlows(introduction: Introduction, flows: readonly Flow[]): Promise<void>;
}
