import type { Address, Family } from '../base/address.ts';

/** At most one address of each family. */
export type AddressByFamily = { readonly [F in Family]?: Address };

/** How many addresses of a family an exit may have: a quarter of the slots that pods are spread over. */
export const mostAddresses = 16;

/** A way out as it is configured, the same for all nodes. */
export interface Exit {
  readonly name: string;
  /** 1…16382, unlike that of any other exit. */
  readonly id: number;
  /** Underlay addresses of the gateways in order of preference. Empty: a local exit, which leaves from the pod's node. */
  readonly gateways: readonly Address[];
  /** The addresses are given to a gateway, and announced, by others; absent: by egress. */
  readonly announce?: 'elsewhere';
  /** The number of the Virtual Router of the gateways, 1…255; absent: made from them. */
  readonly vrid?: number;
  /**
   * Name of the interface that packets leave by, on the pod's node or on the gateway. Absent only with `gateways`: the
   * one that the gateway has its default route on.
   */
  readonly interface?: string;
  /** Empty: the destinations are neighbours on the interface. Without `interface`: as the gateway's default routes say. */
  readonly nextHops: AddressByFamily;
  /** The next hops are behind the interface, whatever networks it is in. */
  readonly onlink?: true;
  /**
   * Source addresses of packets that leave, each once. Empty: the interface's own. An exit with gateways has at least
   * one.
   */
  readonly addresses: readonly Address[];
  /** Names of other interfaces that may hold the addresses in the place of the exit's own. */
  readonly addressesOn?: readonly string[];
  /** Of several addresses each connection gets one, not each pod. */
  readonly addressPerFlow?: true;
  /** Established connections may pass the kernel's flowtable, while an agent lives. */
  readonly fastPath?: true;
  /** How many source ports each pod has for itself; absent: pods share them all. */
  readonly portsPerPod?: number;
  /** How many pods of one namespace may have ports of their own on a node; absent: as many as there are blocks. */
  readonly portBlocksPerNamespace?: number;
  /** Globs of namespaces; their pods may ask for the exit by annotation. */
  readonly annotationNamespaces: readonly string[];
  /** The fate of packets while the interface, the tunnel or the route of the exit is gone. */
  readonly onUnavailable: 'drop' | 'node';
}

/** The addresses, each once, of exits that have a gateway and others besides: they are at one of them now, and at another later. */
export const movingAddresses = (exits: readonly Exit[], gateway: Address): readonly Address[] => [
  ...new Set(
    exits.flatMap(({ gateways, addresses }) => (gateways.length > 1 && gateways.includes(gateway) ? addresses : [])),
  ),
];
