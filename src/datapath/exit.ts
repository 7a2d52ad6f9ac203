import type { Address, Family } from '../base/address.ts';

/** How packets of one family leave by an exit: with which source address, and through which next hop, if any. */
export interface Way {
  readonly family: Family;
  readonly address: Address;
  readonly via?: Address;
}

/** An exit as it is on this node: everything is known, nothing is left to be looked up. */
export interface ResolvedExit {
  readonly name: string;
  /** 1…16383, the same on every node. */
  readonly id: number;
  /** Name of the interface that packets leave by. */
  readonly device: string;
  /** One for each family that the exit has; a family without one is dropped. */
  readonly ways: readonly Way[];
}
