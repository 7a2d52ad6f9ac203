import type { Address, Family } from '../base/address.ts';

/** At most one address of each family. */
export type AddressByFamily = { readonly [F in Family]?: Address };

/** A way out as it is configured, the same for all nodes. */
export interface Exit {
  readonly name: string;
  /** 1…16383, unlike that of any other exit. */
  readonly id: number;
  /** Name of the interface that packets leave by. */
  readonly interface: string;
  /** Empty: the destinations are neighbours on the interface. */
  readonly nextHops: AddressByFamily;
  /** Source addresses of packets that leave. Empty: the interface's own. */
  readonly addresses: AddressByFamily;
}
