import type { Address, Family, Prefix } from '../base/address.ts';

/** The way of one family's packets by an exit: source addresses, and a next hop, if any. */
export interface Way {
  readonly family: Family;
  /**
   * Given on the node that they leave from: with a tunnel, on the gateway. Each once, and at least one, unless the interface
   * was missing or down, so that none was known yet: with `onUnavailable` `node` alone.
   */
  readonly addresses: readonly Address[];
  readonly via?: Address;
  /** The next hop is behind the interface, in whatever network. */
  readonly onlink?: true;
  /** The interface's own networks, reached without the next hop. */
  readonly networks?: readonly Prefix[];
}

/** An exit on this node. Everything is resolved, nothing is left to look up. */
export interface ResolvedExit {
  readonly name: string;
  /** 1…16382, the same on every node. */
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
  /** Established connections may pass a flowtable: of checked pods on their node, and what a gateway takes out of the tunnel. */
  readonly fastPath?: true;
  /**
   * The fate of packets while the exit has no route: with `node` they leave with the node's address, else they are
   * dropped.
   */
  readonly onUnavailable?: 'node';
}
