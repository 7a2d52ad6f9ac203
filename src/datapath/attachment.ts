import type { Address, Prefix } from '../base/address.ts';
import type { Match } from '../policy/match.ts';
import type { ResolvedExit } from './exit.ts';
import type { NodeNumbers } from './layout.ts';

/** What the data path must know of one attachment. */
export interface SteeredAttachment {
  /** Names it in comments: see markOf. */
  readonly mark: string;
  readonly addresses: readonly Address[];
  /** The pod's own networks, from the result of the primary plugin. */
  readonly subnets: readonly Prefix[];
  /** Name of the chain that holds its matches. */
  readonly program: string;
  readonly matches: readonly Match[];
}

/** What the data path must know of the node, the same for all attachments on it. */
export interface NodeState extends NodeNumbers {
  /** Destinations that are never steered: pods, services, nodes, link-local. */
  readonly clusterCIDRs: readonly Prefix[];
  /** The exits that attachments on this node use. */
  readonly exits: readonly ResolvedExit[];
}
