import type { Address, Family, Prefix } from '../base/address.ts';
import type { Match } from '../policy/match.ts';
import type { PortBlock } from '../policy/port-blocks.ts';
import type { ResolvedExit } from './exit.ts';
import type { HeldConnection } from './held.ts';
import type { NodeNumbers } from './layout.ts';

/** One attachment, as the data path needs it. */
export interface SteeredAttachment {
  /** Names it in comments: see markOf. */
  readonly mark: string;
  readonly addresses: readonly Address[];
  /** The pod's own networks, from the result of the primary plugin. */
  readonly subnets: readonly Prefix[];
  /**
   * Ranges of the cluster as they were when the attachment was given its program: no later change reaches it. Absent
   * for an attachment from before programs had ranges of their own: then the node's ranges count.
   */
  readonly cluster?: readonly Prefix[];
  /** Name of the chain that holds its matches. */
  readonly program: string;
  readonly matches: readonly Match[];
  /** Present when its packets are checked where they come in. */
  readonly sources?: Sources;
  /** Some of its connections may stay with exits that its program does not have for them any more. */
  readonly holds?: true;
  /** Those of them that are to be held from now on; not in records. */
  readonly held?: readonly HeldConnection[];
  /** Source ports of its own, for each of its exits that gives pods some. */
  readonly ports?: readonly PortBlock[];
  /**
   * Present when `matches` and `cluster` are only outlines (see outlineOf): reads them with all their ranges, which is
   * asked for when the kernel has to be given them.
   */
  readonly whole?: () => ProgramContent;
}

/** The content that the name of a program is made from, but for the pod's own networks. */
export type ProgramContent = Pick<SteeredAttachment, 'matches' | 'cluster'>;

/** The interfaces that a pod's packets come in by, and their allowed source addresses. */
export interface Sources {
  /** Names of the node's ends of the pod's interface; at least one. */
  readonly devices: readonly string[];
  /** Source ranges beside the pod's own addresses. No policy is for such packets. */
  readonly others: readonly Prefix[];
}

/** Source ports that an address of a pod leaves with by an exit. */
export interface OwnPorts extends Omit<PortBlock, 'exit'> {
  /** The exit's. */
  readonly id: number;
  /** The pod's. */
  readonly address: Address;
  /** Names the attachment in comments. */
  readonly mark: string;
}

/** The node, as the data path needs it, the same for all its attachments. */
export interface NodeState extends NodeNumbers {
  /**
   * Ranges of the cluster as they are now. Answers to them take the node's routes, whatever address was asked.
   * Connections from them may come in by any interface. Absent in records of earlier versions.
   */
  readonly inside?: readonly Prefix[];
  /**
   * Ranges that no program on the node steers: what pods send there goes on while nothing judges it. They only become fewer
   * while there are pods. Absent in records of versions that did not mark what pods send where it comes in.
   */
  readonly spared?: readonly Prefix[];
  /** The kernel could not mark what a pod sends where it comes in: what a flush lets through is not held back. */
  readonly unmarked?: true;
  /** Ranges of the cluster for attachments that have none of their own, from before they had; never changed. */
  readonly clusterCIDRs?: readonly Prefix[];
  /** The exits that attachments on this node use, or that it serves as their gateway. */
  readonly exits: readonly ResolvedExit[];
  /** Present while any of the exits, or the gateway, needs it. */
  readonly tunnel?: Tunnel;
  /** Present while the node is a gateway. */
  readonly gateway?: Gateway;
  /** Addresses that we gave to interfaces, but for the tunnel's. Absent: nobody knows. */
  readonly addresses?: readonly { readonly device: string; readonly address: Address }[];
}

/** This node's end of the tunnel, and the other ends. */
export interface Tunnel {
  readonly vni: number;
  readonly port: number;
  /** Underlay address of this node. */
  readonly local: Address;
  /** Bytes of an inner IP packet. */
  readonly mtu: number;
  /** Families of the packets inside. */
  readonly families: readonly Family[];
  /** Who may send to our port. */
  readonly senders: readonly Prefix[];
  /** Underlay addresses of the nodes that this one sends to. */
  readonly peers: readonly Address[];
}

/** A gateway's part: exits served for the pods of other nodes. */
export interface Gateway {
  /** Ids of the exits that it serves. */
  readonly served: readonly number[];
  /** Egress addresses that no interface held, so that we put them there, or elect who does. */
  readonly owned: readonly {
    readonly device: string;
    readonly address: Address;
    /** Others have it on another interface, too: they may answer on it. */
    readonly shared?: true;
    /** It is put there, or not, by who elects its holder. */
    readonly elected?: true;
  }[];
  /** Egress addresses that are at one gateway now and at another later. Absent: there are none. */
  readonly moving?: readonly Address[];
  /** Pods' ranges that answers go to through the tunnel, and the nodes that have them; empty when they go directly. */
  readonly replies: readonly { readonly destination: Prefix; readonly node: Address }[];
}
