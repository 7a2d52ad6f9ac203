import type { Address, Family } from '../base/address.ts';

/** At most one address of each family. */
export type AddressByFamily = { readonly [F in Family]?: Address };

/** A way out as it is configured, the same for all nodes. */
export interface Exit {
  readonly name: string;
  /** 1…16383, unlike that of any other exit. */
  readonly id: number;
  /** Underlay addresses of the gateways in order of preference. Empty: a local exit, which leaves from the pod's node. */
  readonly gateways: readonly Address[];
  /**
   * Name of the interface that packets leave by, on the pod's node or on the gateway. Absent only with `gateways`: the
   * one that the gateway has its default route on.
   */
  readonly interface?: string;
  /** Empty: the destinations are neighbours on the interface. Without `interface`: as the gateway's default routes say. */
  readonly nextHops: AddressByFamily;
  /** Source addresses of packets that leave. Empty, which an exit with gateways never is: the interface's own. */
  readonly addresses: AddressByFamily;
  /** What becomes of packets while the interface, the tunnel or the route of the exit is gone. */
  readonly onUnavailable: 'drop' | 'node';
}
