/** A MAC address in canonical text: six pairs of lower-case hexadecimal digits with colons. */
export type Mac = string;

/** A network interface of the node, as far as an exit must know it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** `veth`, `bridge`, …; absent for a physical device. */
  readonly type?: string;
  /**
   * The interface that this one is a part of, with its kind in the kernel's words. This one is a port of a `bridge`, a
   * link of a `bond` or `team`, or a member of a `vrf`. Packets of the host's routes do not leave by parts.
   */
  readonly master?: { readonly index: number; readonly type?: string };
  /** Bytes of the largest IP packet. */
  readonly mtu: number;
  /** Absent where the kind of device has none. */
  readonly mac?: Mac;
}
