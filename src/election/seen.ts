import type { Address } from '../base/address.ts';
import { type BadReason, badReasons } from './advertisement.ts';
import type { VrrpState } from './vrrp.ts';

export type Bad = BadReason;

/** What a Virtual Router saw of others. */
export interface Sightings {
  /** The router that was heard last, and when. */
  readonly other?: { readonly source: Address; readonly priority: number; readonly at: string };
  /** MAC address of a holder that says nothing, though its kernel answers for the addresses: they are not taken from it. */
  readonly silent?: string;
  /** Addresses of ours that other stations claim. */
  readonly duplicates: readonly { readonly address: Address; readonly mac: string; readonly at: string }[];
  /** Routers with the same number and none of our addresses. */
  readonly foreign: readonly { readonly source: Address; readonly addresses: readonly Address[] }[];
  /** How many packets were no advertisements for us, by reason. */
  readonly bad: Readonly<Record<BadReason, number>>;
}

/** The most of a kind that are remembered: anybody may send anything. */
const most = 16;

/** Counts and remembers what others do, in bounded room. */
export class Seen {
  readonly #bad = Object.fromEntries(badReasons.map((reason) => [reason, 0])) as Record<BadReason, number>;
  readonly #duplicates = new Map<string, { readonly address: Address; readonly mac: string; at: string }>();
  readonly #foreign = new Map<Address, readonly Address[]>();
  #other: Sightings['other'];
  #silent: string | undefined;

  /** A packet was no advertisement. */
  count(reason: BadReason): void {
    this.#bad[reason]++;
  }

  /** A router of ours was heard. */
  heard(source: Address, priority: number, at: string): void {
    if (priority > 0) this.#other = { source, priority, at };
    this.#silent = undefined;
  }

  /** The holder says nothing; whether that is new. */
  silent(mac: string): boolean {
    const isNew = this.#silent !== mac;
    this.#silent = mac;
    return isNew;
  }

  /** A station claims an address; whether that is new. */
  duplicate(address: Address, mac: string, at: string): boolean {
    const key = `${address} ${mac}`;
    const known = this.#duplicates.get(key);
    if (known !== undefined) known.at = at;
    else if (this.#duplicates.size < most) this.#duplicates.set(key, { address, mac, at });
    return known === undefined;
  }

  /** A router of others has our number; whether that is new. */
  foreign(source: Address, addresses: readonly Address[]): boolean {
    if (this.#foreign.has(source) || this.#foreign.size >= most) return false;
    this.#foreign.set(source, addresses.slice(0, most));
    return true;
  }

  /** All of it, for a router in a state: only a Backup waits for a silent holder. */
  sightings(state: VrrpState['name']): Sightings {
    return {
      ...(this.#other && { other: this.#other }),
      ...(state === 'backup' && this.#silent !== undefined && { silent: this.#silent }),
      duplicates: [...this.#duplicates.values()].map((each) => ({ ...each })),
      foreign: [...this.#foreign].map(([source, addresses]) => ({ source, addresses })),
      bad: { ...this.#bad },
    };
  }
}
