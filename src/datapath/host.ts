import type { Address, Family } from '../base/address.ts';
import type { Element } from '../nftables/object.ts';
import type { Counter } from '../nftables/observed.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { Change } from './difference.ts';
import type { HostObject, Link, PolicyRule } from './objects.ts';
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

/** What was seen, and the generation of the ruleset in which it was seen: a change decided on it fails when it moved on. */
export interface Observed<T> {
  readonly state: T;
  readonly generation: number;
}

/** What our rules and elements count. Exits are told by id, pods by the comments of their elements. */
export interface Counters {
  /** Packets that programs sent to an exit. */
  readonly steered: ReadonlyMap<number, Counter>;
  /** Packets that left by an exit: by its interface, with its address. */
  readonly left: ReadonlyMap<number, Counter>;
  /** Packets from pods that have a program. */
  readonly pods: ReadonlyMap<string, Counter>;
  /** Packets for the exit `drop`, or of a family that their exit lacks. */
  readonly dropped: Counter;
  /** Packets that the guard kept from leaving in a wrong way. */
  readonly guarded: Counter;
}

/** What a decision may ask of the machine, and have done on it. */
export interface Host {
  /** Undefined when there is no interface of that name. */
  readLink(name: string): Promise<Link | undefined>;
  listAddresses(link: Link): Promise<readonly LinkAddress[]>;
  /** Whether the node reaches an address without a next hop: `ip route get`. */
  isOnLink(address: Address): Promise<boolean>;
  /** Policy rules that are not ours, both families. */
  listForeignRules(): Promise<readonly PolicyRule[]>;
  /** Kernel parameters: undefined when there is none of that name. */
  readSysctl(name: string): string | undefined;

  /** What is there of what one attachment needs; the contents of its program's sets only when `contents` is set. */
  observe(
    node: NodeState,
    attachment: SteeredAttachment,
    options: { contents: boolean },
  ): Promise<Observed<HostObject[]>>;
  /** What is there of ours, whoever it is for; routes in the tables that our rules lead to, and in `tables`. */
  observeOurs(tables: readonly number[]): Promise<Observed<OurState>>;
  /** What was counted since the table was made. */
  readCounters(): Promise<Counters>;
  /** What the kernel knows of a next hop, in its words; undefined when it did not have to ask for it of late. */
  readNeighbour(device: string, address: Address): Promise<string | undefined>;
  /** Elements of the pods' maps whose comment begins with `mark`; looked up by address where the addresses are known. */
  findElements(mark: string, addresses?: readonly Address[]): Promise<readonly Element[]>;
  /** Whether our table of the family inet is there. */
  hasTable(): Promise<boolean>;
  /** Whether the kernel has the egress hook of netdev. Asked by trying: changes nothing, but is not cheap. */
  hasEgressHook(): Promise<boolean>;

  /**
   * Makes the changes: what is new is set up before the one nftables transaction, what goes is taken down after it.
   * Returns false, with nothing in nftables changed, when the ruleset is not of `generation` any more.
   */
  apply(changes: readonly Change[], generation: number): Promise<boolean>;
  /** Sets interfaces down, where name and index still belong together. */
  setDown(links: readonly { readonly name: string; readonly index: number }[]): Promise<void>;
  /** Forgets the connections of a pod's address. */
  deleteFlows(address: Address): Promise<void>;
}
