import { type Family, familyOf } from '../base/address.ts';
import type { Gateway, NodeState, OwnPorts, SteeredAttachment, Tunnel } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import { closedFamilies } from './unjudged.ts';

/** A part of the node's state that belongs together: it is set up, looked at and checked as one. */
export interface Needs {
  readonly exits: readonly ResolvedExit[];
  /** Present when one of the exits, or the gateway, uses it. */
  readonly tunnel?: Tunnel;
  readonly gateway?: Gateway;
  readonly attachment?: SteeredAttachment;
  /** Others with the same program, which are set up with it. */
  readonly fellows?: readonly SteeredAttachment[];
  /** Attachments whose packets are checked where they come in, of those that say so. */
  readonly checked?: readonly SteeredAttachment[];
  /** Families in which what pods send goes nowhere but into the cluster while nothing has judged it; at least one. */
  readonly closed?: readonly Family[];
  /** Source ports of pods on those exits. */
  readonly ports: readonly OwnPorts[];
}

/**
 * What one attachment needs, and its `fellows` with the same program. `others` are attachments whose ports shall follow what
 * the exits are now.
 */
export function needsOf(
  node: NodeState,
  attachment: SteeredAttachment,
  others: readonly SteeredAttachment[] = [],
  fellows: readonly SteeredAttachment[] = [],
): Needs {
  const names = new Set(attachment.matches.map((match) => match.exit));
  const exits = node.exits.filter((exit) => names.has(exit.name));
  const tunnel = exits.some(({ gateway }) => gateway !== undefined) ? node.tunnel : undefined;
  const checked = [attachment, ...fellows].filter(({ sources }) => sources !== undefined);
  return {
    exits,
    attachment,
    ...(checked.length > 0 && { checked }),
    ...closedIn(node, checked),
    ...(fellows.length > 0 && { fellows }),
    ports: portsOn(exits, [attachment, ...fellows, ...others]),
    ...(tunnel && { tunnel }),
  };
}

/** What the node needs for all its exits with the ports of its pods, and to be a gateway for others. */
export function needsOfNode(node: NodeState, attachments: readonly SteeredAttachment[]): Needs {
  const { exits, tunnel, gateway } = node;
  return {
    exits,
    ports: portsOn(exits, attachments),
    ...closedIn(node, attachments),
    ...(tunnel && { tunnel }),
    ...(gateway && { gateway }),
  };
}

function closedIn(node: NodeState, attachments: readonly SteeredAttachment[]): Pick<Needs, 'closed'> {
  const closed = closedFamilies(node, attachments);
  return closed.length > 0 ? { closed } : {};
}

/** What one of the node's exits needs, with the ports that pods have on it. */
export const needsOfExit = (
  { tunnel }: NodeState,
  exit: ResolvedExit,
  attachments: readonly SteeredAttachment[],
): Needs => ({
  exits: [exit],
  ports: portsOn([exit], attachments),
  ...(exit.gateway !== undefined && tunnel && { tunnel }),
});

/** The blocks of attachments, for each of their addresses that the exit has a way for. */
const portsOn = (exits: readonly ResolvedExit[], attachments: readonly SteeredAttachment[]): OwnPorts[] =>
  attachments.flatMap(({ mark, addresses, ports = [] }) =>
    ports.flatMap(({ exit: name, first, last }) => {
      const { id = 0, ways = [] } = exits.find((exit) => exit.name === name) ?? {};
      const own = addresses.filter((address) => ways.some(({ family }) => family === familyOf(address)));
      return own.map((address) => ({ id, address, first, last, mark }));
    }),
  );
