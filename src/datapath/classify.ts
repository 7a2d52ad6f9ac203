import { families } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain, Rule } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState } from './attachment.ts';
import { heldChains } from './held.ts';
import * as layout from './layout.ts';
import { forged, isFromElsewhere, isProven, prove } from './sources.ts';
import { tunnelDevice } from './tunnel.ts';

/** What a node is beside one with exits of its own: there some chains of all packets lead to chains that others have not. */
export interface Branches {
  /** The tunnel's; absent without a tunnel. */
  readonly port?: number;
  readonly isGateway: boolean;
}

/** The branches of a node. */
export const branchesOf = ({ tunnel, gateway }: Pick<NodeState, 'tunnel' | 'gateway'>): Branches => ({
  ...(tunnel && { port: tunnel.port }),
  isGateway: gateway !== undefined,
});

/**
 * Where packets get their exit. A packet of a pod without a policy comes through here, too. It pays for one look at
 * conntrack's state, and one into the map of pods. `others` are the tunnel's and a gateway's.
 */
export const desiredClassify = (node: NodeState, others: readonly Chain[]): readonly Chain[] => [
  midStream,
  forged,
  prove(node.fwmark),
  ...heldChains,
  begin(node.fwmark),
  errors,
  chain(layout.chainNames.answers, answering([])),
  ...others,
  classify(branchesOf(node)),
];

/**
 * Behind destination NAT (-100), so that a Service's real destination is seen. Replies take the node's routes, unless a
 * Service has an exit's address. Packets around the tunnel's packets go with the first question: a chain at a hook costs even
 * where none of its rules matches, so that there is this one for all.
 */
export const classify = ({ port, isGateway }: Branches): Chain => {
  const { senders, arrive, replies, answers, first, begin } = layout.chainNames;
  return chain(
    layout.chainNames.classify,
    [
      ...(port === undefined
        ? []
        : [
            rule(say.udpDestinationPort(port), say.verdict({ code: 'goto', chain: senders })),
            rule(say.arrivesBy(tunnelDevice), say.verdict({ code: 'jump', chain: arrive })),
          ]),
      rule(say.isReply, say.verdict({ code: 'goto', chain: isGateway ? replies : answers })), // never a first packet
      rule(say.isFirst, say.verdict({ code: 'jump', chain: isGateway ? first : begin })),
      ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.pods(family)))),
    ],
    { type: 'filter', hook: 'prerouting', priority: -90 },
  );
};

/** Questions for a connection's first packet alone. To `ct state new` each packet is first until somebody answers. */
const begin = (fwmark: number): Chain =>
  chain(layout.chainNames.begin, [
    rule(say.asksForNoConnection, say.verdict({ code: 'jump', chain: layout.chainNames.midStream })),
    rule(isProven(fwmark), say.verdict({ code: 'return' })),
    ...isFromElsewhere.map((statements) =>
      rule(...statements, say.verdict({ code: 'goto', chain: layout.chainNames.forged })),
    ),
  ]);

/**
 * Conntrack must not take an answer of a forgotten connection for the begin of one. It would call the pod's packets
 * replies, and they would leave on an ordinary way. With the pod's next packet it knows the connection again.
 */
const midStream = chain(
  layout.chainNames.midStream,
  families.map((family) =>
    rule(
      say.destinationIn(family, layout.setNames.answered(family), { first: true }),
      say.counter,
      say.verdict({ code: 'drop' }),
    ),
  ),
);

/**
 * An ICMP error belongs to the connection of the packet inside it, whoever sends it. A pod could else tell somebody outside
 * of a connection with the node or another pod, as a reply that no policy steers, and leave past its exit.
 */
const errors = chain(
  layout.chainNames.errors,
  families.map((family) =>
    rule(
      say.sourceTwiceIn(family, layout.setNames.ends(family)),
      say.ofAnothersConnection(family, layout.setNames.ends(family)),
      say.verdict({ code: 'goto', chain: layout.chainNames.forged }),
    ),
  ),
);

/** Packets from the answering side of a connection; `marking` are those that leave by the tunnel. */
export const answering = (marking: readonly Rule[]): readonly Rule[] => [
  ...families.map((family) =>
    rule(
      say.sourceIn(family, layout.setNames.checked(family), { first: true }),
      say.verdict({ code: 'jump', chain: layout.chainNames.prove }),
    ),
  ),
  rule(say.isRelated, say.verdict({ code: 'jump', chain: layout.chainNames.errors })),
  ...marking,
  rule(say.isDestinationTranslated, say.verdict({ code: 'goto', chain: layout.chainNames.returns })),
];
