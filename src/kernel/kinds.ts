import type { NodeState } from '../datapath/attachment.ts';
import type { Needs } from '../datapath/needs.ts';
import type { HostObject, Other, OutsideObject } from '../datapath/objects.ts';
import type { KernelKind, Listed } from './kind.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { addressKind } from './rtnetlink/address.ts';
import { forwardingKind } from './rtnetlink/forwarding.ts';
import { ingressMarkKind } from './rtnetlink/ingress-mark.ts';
import { behindKind } from './rtnetlink/local-route.ts';
import { neighbourKind } from './rtnetlink/neighbour.ts';
import { routeKind } from './rtnetlink/route.ts';
import { ruleKind } from './rtnetlink/rule.ts';
import { tunnelKind } from './rtnetlink/tunnel.ts';
import { sysctlKind } from './sysctl.ts';

/** Each kind outside of nftables, in the order of looking: a kind that tells the places of others comes first. */
export const kernelKinds: {
  readonly [K in OutsideObject['kind']]: KernelKind<Extract<HostObject, { readonly kind: K }>>;
} = {
  address: addressKind,
  tunnel: tunnelKind,
  neighbour: neighbourKind,
  forwarding: forwardingKind,
  rule: ruleKind,
  route: routeKind,
  behind: behindKind,
  sysctl: sysctlKind,
  ingressMark: ingressMarkKind,
};

/** How the kind of an object is made and taken down. It takes objects of that kind alone. */
export const kernelKindOf = ({ kind }: OutsideObject): KernelKind<OutsideObject> => kernelKinds[kind];

/** The needed objects that are there, outside of our tables. */
export async function observeOutside(
  socket: NetlinkSocket,
  node: NodeState,
  needs: Needs,
): Promise<readonly OutsideObject[]> {
  const found: OutsideObject[] = [];
  for (const kind of Object.values(kernelKinds)) found.push(...(await kind.observe({ socket, found, node, needs })));
  return found;
}

/** All of ours, by the node's record or without one, and others' objects with our number. */
export async function listOutside(
  socket: NetlinkSocket,
  node: NodeState | undefined,
): Promise<Required<Listed<OutsideObject>>> {
  const found: OutsideObject[] = [];
  const foreign: Other[] = [];
  for (const kind of Object.values(kernelKinds)) {
    const { ours, others = [] } = await kind.list({ socket, found, node });
    found.push(...ours);
    foreign.push(...others);
  }
  return { ours: found, others: foreign };
}
