import type { Gateway, NodeState, SteeredAttachment, Tunnel } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';

/** A part of the node's state that belongs together: it is set up, looked at and checked as one. */
export interface Needs {
  readonly exits: readonly ResolvedExit[];
  /** Present when one of the exits, or the gateway, uses it. */
  readonly tunnel?: Tunnel;
  readonly gateway?: Gateway;
  readonly attachment?: SteeredAttachment;
}

/** What one attachment needs. */
export function needsOf(node: NodeState, attachment: SteeredAttachment): Needs {
  const names = new Set(attachment.matches.map((match) => match.exit));
  const exits = node.exits.filter((exit) => names.has(exit.name));
  const tunnel = exits.some(({ gateway }) => gateway !== undefined) ? node.tunnel : undefined;
  return { exits, attachment, ...(tunnel && { tunnel }) };
}

/** What the node needs for all its exits, and to be a gateway for others. */
export const needsOfNode = ({ exits, tunnel, gateway }: NodeState): Needs => ({
  exits,
  ...(tunnel && { tunnel }),
  ...(gateway && { gateway }),
});
