import { type Address, type Family, families, familyOf } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Element } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { Gateway, NodeState } from './attachment.ts';
import { answering } from './classify.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject, Route } from './objects.ts';
import { nextHopOf, tunnelDevice } from './tunnel.ts';

/** What a gateway's chains look into. */
export function gatewaySets({ exits }: NodeState, gateway: Gateway): HostObject[] {
  const served = exits.filter(({ id }) => gateway.served.includes(id));
  const egress = served.flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses));
  const deaf = gateway.owned.filter(({ shared }) => !shared).map(({ address }) => address);
  const { moving = [] } = gateway;
  const remote = gateway.replies.map(({ destination }) => destination);
  return families.flatMap((family) => [
    addressSet(layout.setNames.egress(family), family, egress),
    addressSet(layout.setNames.owned(family), family, deaf),
    addressSet(layout.setNames.moving(family), family, moving),
    addressSet(layout.setNames.remote(family), family, remote),
  ]);
}

/** A gateway's chains but for {@link unasked}. Shared chains lead to some of them. */
export const gatewayChains = ({ fwmark, tunnel }: NodeState): readonly Chain[] => [
  first,
  replies(fwmark),
  ownedChain(tunnel?.port),
  late,
];

/** The objects of a gateway beside its exits, the tunnel, its chains and what those look into. */
export function desiredGateway(node: NodeState, gateway: Gateway, exits: readonly ResolvedExit[]): HostObject[] {
  const served = exits.filter(({ id }) => gateway.served.includes(id));
  return [
    ...gateway.owned
      .filter(({ elected }) => !elected)
      .map(({ device, address }): HostObject => ownedAddress(device, address)),
    ...served.map(servedElement),
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
const ownedChain = (port: number | undefined): Chain =>
  chain(
    layout.chainNames.owned,
    [
      // The tunnel's own packets, which are most of what a gateway takes in: `senders` has judged them.
      ...(port === undefined ? [] : [rule(say.udpDestinationPort(port), say.verdict({ code: 'return' }))]),
      ...families.flatMap((family) => [
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
    ],
    { type: 'filter', hook: 'input', priority: 0 },
  );

/** Behind everybody's destination NAT (-100): a Service with the address has sent its connections elsewhere by then. */
const behindTranslation = -90;

/** From here on programs get source ports (net.ipv4.ip_local_port_range), and services have none (kube-proxy's end at 32767). */
const firstOwnPort = 32768;

/**
 * Late answers, and early ones: to an address that is elsewhere, from a neighbour that still sends to this gateway, or to one that
 * others put here a moment ago. Conntrack would take each for the begin of a connection, which holds the port that the pod's
 * connection has: that one would leave with another port, and the outside host reset it. The addresses that we put here need the
 * second rule less ({@link ownedChain}). NAT sees first packets alone.
 */
const late = chain(
  layout.chainNames.late,
  families.flatMap((family) =>
    [say.isSentBack, say.tcpPortFrom('dport', firstOwnPort)].map((what) =>
      rule(
        say.asksForNoConnection,
        say.destinationIn(family, layout.setNames.moving(family), { first: true }),
        what,
        say.counter,
        say.verdict({ code: 'drop' }),
      ),
    ),
  ),
  { type: 'nat', hook: 'prerouting', priority: behindTranslation },
);

/**
 * What the node's own stack says in the name of an address that moves: that it knows no such connection, or no such port. The
 * address may have come here a moment ago, and connections with it. Resets of services are let go (the control plane's API has an
 * address that moves, too), refusals as well, and those of a pod's other end, which are forwarded.
 */
export const unasked = chain(
  layout.chainNames.unasked,
  families.flatMap((family) =>
    [[say.isResetOfUnknown, say.tcpPortFrom('sport', firstOwnPort)], [say.isUnreachable(family)]].map((what) =>
      rule(
        ...what, // few packets are that
        say.sourceIn(family, layout.setNames.moving(family), { first: true }),
        say.counter,
        say.verdict({ code: 'drop' }),
      ),
    ),
  ),
);

/**
 * First packets of connections. Those with an egress address come out of the tunnel only for a moment, from a gateway that
 * gives the address up. They are dropped: tracked here, they would take the port of their own connection. One that is dropped
 * is no connection, and the next packet is first again.
 */
const first = chain(layout.chainNames.first, [
  ...families.map((family) =>
    rule(
      say.arrivesBy(tunnelDevice),
      say.sourceIn(family, layout.setNames.egress(family), { first: true }),
      say.verdict({ code: 'drop' }),
    ),
  ),
  rule(say.verdict({ code: 'goto', chain: layout.chainNames.begin })),
]);

/** Answers to pods elsewhere take the tunnel. This is behind destination NAT, which has put the pod's address back. */
const replies = (fwmark: number): Chain =>
  chain(
    layout.chainNames.replies,
    answering(
      families.map((family) =>
        rule(
          say.replyDestinationIn(family, layout.setNames.egress(family)),
          say.destinationIn(family, layout.setNames.remote(family), { first: true }),
          say.setMark(layout.markMask(fwmark), fwmark),
          say.verdict({ code: 'return' }),
        ),
      ),
    ),
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
