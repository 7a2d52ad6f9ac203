import { type Address, type Family, families, familyOf } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { Gateway, NodeState } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject, Route } from './objects.ts';
import { nextHopOf, tunnelDevice } from './tunnel.ts';

/** The objects of a gateway beside its exits and the tunnel. */
export function desiredGateway(node: NodeState, gateway: Gateway, exits: readonly ResolvedExit[]): HostObject[] {
  const served = exits.filter(({ id }) => gateway.served.includes(id));
  const egress = served.flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses));
  const deaf = gateway.owned.filter(({ shared }) => !shared).map(({ address }) => address);
  const remote = gateway.replies.map(({ destination }) => destination);
  return [
    ...families.flatMap((family) => [
      addressSet(layout.setNames.egress(family), family, egress),
      addressSet(layout.setNames.owned(family), family, deaf),
      addressSet(layout.setNames.remote(family), family, remote),
    ]),
    ...gateway.owned
      .filter(({ elected }) => !elected)
      .map(({ device, address }): HostObject => ownedAddress(device, address)),
    ...served.map(servedElement),
    ownedChain,
    replies(node.fwmark),
    ...(gateway.replies.length > 0 ? [replyElement] : []),
    ...replyRoutes(node, gateway),
  ];
}

const ownedAddress = (device: string, address: Address): HostObject => ({
  kind: 'address',
  device,
  address,
  prefixLength: familyOf(address) === 4 ? 32 : 128,
  scope: 'global',
});

/** Addresses become the prefixes of their full length. */
const addressSet = (name: string, family: Family, addresses: readonly string[]) =>
  layout.rangesSet(
    name,
    family,
    addresses
      .filter((address) => familyOf(address) === family)
      .map((address) => (address.includes('/') ? address : `${address}/${family === 4 ? 32 : 128}`)),
  );

/** By this element packets of the exit that come out of the tunnel leave. */
const servedElement = ({ id }: ResolvedExit): Element => ({
  kind: 'element',
  set: layout.setNames.served,
  key: layout.exitKey(id),
  verdict: { code: 'goto', chain: layout.chainNames.exit(id) },
});

/** By this element answers to pods elsewhere pass the guard. */
const replyElement: Element = { kind: 'element', set: layout.setNames.tunnels, key: layout.exitKey(layout.replyId) };

/**
 * Nobody listens on an address that is there for others. The node must not say so to the other end of a connection that
 * it does not know yet because it moved here a moment ago: that would end it. Pings of the address are answered; to nodes that
 * ask through the tunnel only when their packets would be served, for they follow the answer.
 */
const ownedChain = chain(
  layout.chainNames.owned,
  families.flatMap((family) => [
    rule(
      say.arrivesBy(tunnelDevice),
      say.destinationIn(family, layout.setNames.egress(family), { first: true }),
      say.isProtocol('icmp', family),
      say.verdict({ code: 'return' }),
    ),
    rule(
      say.arrivesBy(tunnelDevice),
      say.destinationIn(family, layout.setNames.owned(family), { first: true }),
      say.counter,
      say.verdict({ code: 'drop' }),
    ),
    rule(
      say.destinationIn(family, layout.setNames.owned(family), { first: true }),
      say.isNotProtocol(family),
      say.counter,
      say.verdict({ code: 'drop' }),
    ),
  ]),
  { type: 'filter', hook: 'input', priority: 0 },
);

/**
 * Answers to pods elsewhere take the tunnel. This is behind destination NAT, which has put the pod's address back.
 * Packets with an egress address come out of the tunnel only for a moment, from a gateway that gives the address up.
 * They are dropped: tracked here, they would take the port of their own connection.
 */
const replies = (fwmark: number): Chain =>
  chain(
    layout.chainNames.replies,
    [
      ...families.map((family) =>
        rule(
          say.arrivesBy(tunnelDevice),
          say.sourceIn(family, layout.setNames.egress(family), { first: true }),
          say.verdict({ code: 'drop' }),
        ),
      ),
      ...families.map((family) =>
        rule(
          say.isReply,
          say.replyDestinationIn(family, layout.setNames.egress(family)),
          say.destinationIn(family, layout.setNames.remote(family), { first: true }),
          say.setMark(layout.markMask(fwmark), fwmark),
        ),
      ),
    ],
    { type: 'filter', hook: 'prerouting', priority: -89 },
  );

/** The ways of answers to pods elsewhere; none when they go directly. */
export const replyRoutes = (node: NodeState, { replies }: Gateway): Route[] =>
  replies.map(({ destination, node: end }) => ({
    kind: 'route',
    family: familyOf(destination),
    table: node.routeTable + layout.replyId,
    destination,
    type: 'unicast',
    device: tunnelDevice,
    via: nextHopOf(end, familyOf(destination)),
    onlink: true,
    metric: layout.exitMetric,
  }));
