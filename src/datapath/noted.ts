import type { NodeState, SteeredAttachment } from './attachment.ts';
import { exitRoutes, podElements, policyRulesOf } from './desired.ts';
import type { Change } from './difference.ts';
import { sentChains } from './egress-counters.ts';
import { isBackChain, isSourceChain } from './layout.ts';
import type { Needs } from './needs.ts';
import type { HostObject } from './objects.ts';
import { desiredSources } from './sources.ts';
import { desiredTunnel } from './tunnel.ts';
import { closedRoutes, ingressMarks } from './unjudged.ts';

/**
 * What lies in our tables for all pods of a program stays as it is while the generation of the ruleset does. That it is as it
 * should be can be noted, and has not to be looked at again. This is the rest of {@link desired}: what is outside of our
 * tables, what is the pod's, and chains at interfaces, which go with their interfaces without a new generation.
 */
export function desiredBesideNoted(node: NodeState, needs: Needs): HostObject[] {
  const { exits, tunnel, attachment, checked = [], closed = [] } = needs;
  return [
    ...(tunnel ? desiredTunnel(node, tunnel) : []),
    ...exits.flatMap((exit) => exitRoutes(node, exit)),
    ...sentChains(node, exits),
    ...policyRulesOf(node, needs),
    ...closedRoutes(node, closed),
    ...ingressMarks(node, checked),
    ...desiredSources(node, checked).filter(isAtPod),
    ...(attachment ? podElements(attachment, exits) : []),
  ];
}

const isAtPod = (object: HostObject): boolean => object.kind === 'chain' && isSourceChain(object.name);

/** Whether needs are of one pod alone, and no others' and no connections' objects stand beside its own. */
export const isNotable = ({ attachment, fellows, gateway, ports }: Needs): boolean =>
  attachment !== undefined &&
  fellows === undefined &&
  gateway === undefined &&
  ports.length === 0 &&
  attachment.holds === undefined &&
  attachment.held === undefined;

/** All that the part for all pods of a program is made of, beside the program itself, whose name tells what is in it. */
export const nodePart = (node: NodeState): string =>
  JSON.stringify([
    ...[node.fwmark, node.routeTable, node.rulePriority],
    ...[node.inside, node.spared, node.clusterCIDRs],
    ...[node.exits, node.tunnel, node.gateway],
  ]);

/** Whether a change gives the pod alone what it had not. */
export function isPodsOwn({ verb, object }: Change, { mark }: SteeredAttachment): boolean {
  if (verb !== 'add') return false;
  if (object.kind === 'element') return object.comment === mark;
  return object.kind === 'ingressMark' || isAtPod(object);
}

/** Whether an object is there only while the node has no default route, which is no matter of the ruleset. */
export const isOfWayBack = (object: HostObject): boolean => object.kind === 'chain' && isBackChain(object.name);
