import type { Address, Family, Prefix } from '../base/address.ts';

/** How packets of one family leave by an exit: with which source addresses, and through which next hop, if any. */
export interface Way {
  readonly family: Family;
  /**
   * Given on the node that they leave from: with a tunnel, on the gateway. Each once, and at least one, unless the interface
   * was missing or down, so that none was known yet: with `onUnavailable` `node` alone.
   */
  readonly addresses: readonly Address[];
  readonly via?: Address;
  /** The next hop is behind the interface, whatever networks that is in. */
  readonly onlink?: true;
  /** The interface's own networks, which are reached without the next hop. */
  readonly networks?: readonly Prefix[];
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
  /** Underlay address of the gateway that packets are sent to, through the tunnel; absent when they leave from here. */
  readonly gateway?: Address;
  /** The exit has gateways, whether this node is the one that it uses now or not. */
  readonly shared?: true;
  /** Other interfaces that may hold the addresses in the place of `device`; at least one. */
  readonly addressesOn?: readonly string[];
  /** Of several addresses each connection gets one, not each pod. */
  readonly addressPerFlow?: true;
  /** With `node`, what the exit cannot take for want of a route leaves with the node's address; else it is dropped. */
  readonly onUnavailable?: 'node';
}
