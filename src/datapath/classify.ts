import { families } from '../base/address.ts';
import { chain, rule } from '../nftables/chain.ts';
import type { Chain } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import { heldChains } from './held.ts';
import * as layout from './layout.ts';
import { forged, isFromElsewhere, isProven, prove } from './sources.ts';

/**
 * Where packets get their exit. A packet of a pod without a policy comes through here, too. It pays for one look at
 * conntrack's state, and one into the map of pods.
 */
export const desiredClassify = (fwmark: number): readonly Chain[] => [
  midStream,
  forged,
  prove(fwmark),
  ...heldChains,
  begin(fwmark),
  errors,
  answers,
  classify,
];

/**
 * Behind destination NAT (-100), so that a Service's real destination is seen. Replies take the node's routes, unless a
 * Service has an exit's address.
 */
const classify = chain(
  layout.chainNames.classify,
  [
    rule(say.isReply, say.verdict({ code: 'goto', chain: layout.chainNames.answers })), // never a first packet
    rule(say.isFirst, say.verdict({ code: 'jump', chain: layout.chainNames.begin })),
    ...families.map((family) => rule(say.sourceVerdict(family, layout.setNames.pods(family)))),
  ],
  { type: 'filter', hook: 'prerouting', priority: -90 },
);

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

/** Packets from the answering side of a connection. */
const answers = chain(layout.chainNames.answers, [
  ...families.map((family) =>
    rule(
      say.sourceIn(family, layout.setNames.checked(family), { first: true }),
      say.verdict({ code: 'jump', chain: layout.chainNames.prove }),
    ),
  ),
  rule(say.isRelated, say.verdict({ code: 'jump', chain: layout.chainNames.errors })),
  rule(say.isDestinationTranslated, say.verdict({ code: 'goto', chain: layout.chainNames.returns })),
]);
