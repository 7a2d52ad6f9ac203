import type { Address, Family } from '../base/address.ts';
import type { Advertisement, BadReason, HeardAdvertisement } from './advertisement.ts';

/** An address, and the station that says that it has it. */
export interface Claim {
  readonly address: Address;
  /** Of the station, as text. */
  readonly mac: string;
}

/** The segment of an interface, for one family: what routers and stations there say, and what is said to them. */
export interface Segment extends Disposable {
  /** This node's address among the routers. */
  readonly source: Address;
  /** The kernel's refusal as its name; `undefined` when it was sent. */
  advertise(advertisement: Advertisement): string | undefined;
  /** Asks the stations who has an address. */
  ask(address: Address): void;
  /** Listens to routers by a new socket: the one that is there may be deaf. */
  listenAnew(): void;
  /** Tells the stations that addresses are here. */
  announce(addresses: readonly Address[]): void;
}

/** Takes what is heard on a segment. */
export interface Listener {
  /** An advertisement, or why it is none, and who sent it. */
  heard(said: HeardAdvertisement | BadReason, source: Address): void;
  /** Another station claims an address, whether it was asked or not. */
  claimed(claim: Claim): void;
}

/** An interface at the moment. */
export interface Place {
  readonly name: string;
  readonly index: number;
  readonly mac: string;
  /** This node's primary address: of IPv4 a global one that is none of ours, of IPv6 a link-local one. */
  readonly source: Address;
  /** All addresses that are on it. */
  readonly held: readonly Address[];
}

/** What elections ask of the machine. */
export interface Surroundings {
  /** Milliseconds of a clock that does not go back. */
  now(): number;
  /** The time of the day, RFC 3339 in UTC. */
  date(): string;
  /** Calls once at a time of {@link now}, unless it is disposed of. */
  at(time: number, call: () => void): Disposable;
  /** The interface, or why nobody can be Active on it, in words. */
  find(device: string, family: Family): Promise<Place | string>;
  /** Whether an interface is up and has a carrier. */
  isRunning(device: string): Promise<boolean>;
  /** Throws an Error where the kernel refuses. */
  open(place: Place, family: Family, listener: Listener): Segment;
  /** Puts addresses on an interface; those that are there already stay. Throws an Error where the kernel refuses. */
  give(device: string, addresses: readonly Address[]): Promise<void>;
  /** Takes addresses from an interface, where they are on it. */
  take(device: string, addresses: readonly Address[]): Promise<void>;
  /** Hints to the nodes of pods that addresses move: they ask all gateways then, and follow whoever answers. May be lost. */
  hint(): void;
  /** Something that matters has changed: a state, or what a person should know. */
  changed(): void;
}
