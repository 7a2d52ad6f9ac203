import type { Address } from '../base/address.ts';
import { rule } from '../nftables/chain.ts';
import type { Chain, Rule, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * A packet that may be handed over to the flowtable passes three chains at forward, behind all filters. The first and the last are
 * in the table of the agent's process, and are gone with it: one offers the packet, by a bit of its mark, and the last hands over
 * what was offered and lost the bit. Between them the exit's own chain, in our table, takes the bit away where the guard would let
 * the packet leave. So nothing is handed over without an agent, nor without our ruleset, and what the guard asks is asked of the same
 * sets at the same moment. A packet with the bit from somebody else loses it there.
 */
export const fastPriorities = { offer: 0x7ffffffc, judge: 0x7ffffffd, take: 0x7ffffffe } as const;

/** The hook of a pod's chain has 0: only behind it a packet has its proof. */
export const flowtablePriority = 10;

/** The bit that says "offered": set by nobody else that we know, and by us between two hooks alone. */
export const offeredBit = (fwmark: number): number => (fwmark === 0x20000000 ? 0x10000000 : 0x20000000);

/** The mark of an offered packet, as far as it is ours. */
export const offeredMark = (fwmark: number): number => (fwmark | offeredBit(fwmark)) >>> 0;

/** What of the node the chains of a fast path depend on. */
type Around = Pick<NodeState, 'fwmark' | 'gateway' | 'exits'>;

/** The chains of an exit with a fast path: they judge what was offered, and count what left by the flowtable. */
export const desiredFastPath = (node: Around, exits: readonly ResolvedExit[]): Chain[] => [
  ...exits.flatMap((exit) => (exit.fastPath ? [judgeChain(node.fwmark, exit)] : [])),
  ...fastLeftChains(node, exits),
];

/** Those of them that go with their interface. */
export const fastLeftChains = (node: Around, exits: readonly ResolvedExit[]): Chain[] =>
  exits.flatMap((exit) => {
    if (exit.fastPath !== true) return [];
    return [leftChain(exit, leftRules(node, exit))];
  });

function leftRules(node: Around, exit: ResolvedExit): readonly Rule[] {
  if (intoTunnel(exit)) return [intoTunnelRule(node.fwmark, exit)];
  return node.gateway?.served.includes(exit.id) ? servedRules(node, exit) : provenRules(node.fwmark, exit);
}

/** Whether the exit's packets go into the tunnel on this node. */
export const intoTunnel = ({ device }: Pick<ResolvedExit, 'device'>): boolean => device === tunnelDevice;

/** It asks what the guard asks. */
function judgeChain(fwmark: number, exit: ResolvedExit): Chain {
  const bit = offeredBit(fwmark);
  const mask = (layout.markMask(fwmark) | bit) >>> 0;
  const value = (offeredMark(fwmark) | exit.id) >>> 0;
  const passed = say.keepMark(~bit >>> 0);
  return {
    kind: 'chain',
    name: layout.chainNames.exitFast(exit.id),
    rules: [
      rule(say.markIsNot(mask, value), say.verdict({ code: 'return' })),
      ...(intoTunnel(exit)
        ? [rule(say.leavesBy(tunnelDevice), say.markIn(layout.exitIdMask, layout.setNames.tunnels), passed)]
        : judgeSource(exit, passed)),
    ],
    hook: { type: 'filter', hook: 'forward', priority: fastPriorities.judge },
  };
}

/**
 * What the guard asks is about the translated source, which a packet has behind forward only. So it gets it here, for two questions:
 * whether the interface has the address, and whether the lane is there. Then it gets its own back.
 */
const judgeSource = ({ ways, addressesOn }: ResolvedExit, passed: Statement): Rule[] => [
  ...ways.map(({ family }) => rule(say.writeSource(family, 'ct reply daddr'))),
  ...ways.map(({ family }) =>
    rule(
      addressesOn === undefined ? say.sourceIsOfOutput : say.sourceIsLocal,
      say.markDeviceSourceIn(family, layout.exitIdMask, layout.setNames.lanes(family)),
      passed,
    ),
  ),
  ...ways.map(({ family }) => rule(say.writeSource(family, 'ct original saddr'))),
];

/** Packets that took the ordinary way are counted behind it, where packets without our bit cost least. */
const leftChain = ({ id, device }: ResolvedExit, rules: readonly Rule[]): Chain => ({
  kind: 'chain',
  family: 'netdev',
  name: layout.chainNames.exitFast(id),
  rules,
  hook: { type: 'filter', hook: 'egress', device, priority: -1 },
});

const addressesOf = ({ ways }: ResolvedExit): readonly Address[] => ways.flatMap(({ addresses }) => addresses);
const done = say.verdict({ code: 'return' });

/**
 * A packet that took the flowtable has the mark with that it came in: of a pod the proof. Its source is the exit's by now. On its
 * ordinary way it would have the exit's id.
 */
const provenRules = (fwmark: number, exit: ResolvedExit): readonly Rule[] =>
  addressesOf(exit).map((address) =>
    rule(
      say.markIs(layout.markMask(fwmark), layout.idMark(fwmark, layout.proofId).value),
      say.frameSourceIn(address),
      say.counter,
      say.keepMark(~layout.markMask(fwmark) >>> 0),
      done,
    ),
  );

/** All bits but those of an exit's id. */
const aroundId = ~layout.exitIdMask >>> 0;

/**
 * Out of the tunnel a packet has the exit's id and no other bit, as its node has sent it. The flowtable does not look at it: where a
 * node gives a running connection another exit, its packets would go on by the one that they began with. So what has an address
 * of the exit and another's id goes no farther, as at the guard. Exits may share an address.
 */
function servedRules({ fwmark, exits }: Around, exit: ResolvedExit): readonly Rule[] {
  const own = addressesOf(exit);
  const sharing = exits.filter((other) => other.id !== exit.id && other.device === exit.device && shares(other, own));
  return [
    ...own.map((address) => ({
      ...rule(say.markIsExactly(exit.id), say.frameSourceIn(address), say.counter, say.keepMark(0), done),
      comment: byTunnel,
    })),
    ...provenRules(fwmark, exit),
    rule(say.markIsNot(aroundId, 0), done),
    rule(say.markIs(layout.exitIdMask, 0), done),
    ...sharing.map(({ id }) => rule(say.markIs(layout.exitIdMask, id), done)),
    ...own.map((address) => ({
      ...rule(say.frameSourceIn(address), say.counter, say.verdict({ code: 'drop' })),
      comment: crossed,
    })),
  ];
}

const shares = (exit: ResolvedExit, addresses: readonly Address[]): boolean =>
  addressesOf(exit).some((address) => addresses.includes(address));

/** The comments of a gateway's rules: of those that count what came by the tunnel, and that drop what has the id of another exit. */
export const [byTunnel, crossed] = ['by the tunnel', 'of another exit'] as const;

/** Into the tunnel: the process has given the packet the id (`FastPath.into`), and kept our bit, which the packet around it must not have. */
const intoTunnelRule = (fwmark: number, { id }: ResolvedExit): Rule =>
  rule(
    say.markIs(layout.markMask(fwmark), layout.idMark(fwmark, id).value),
    say.counter,
    say.keepMark(layout.exitIdMask),
  );

/** Only a kernel with the egress hook can have it: without that nothing would count what the flowtable takes. */
export const isFastJudge = (object: HostObject): boolean =>
  object.kind === 'chain' && object.family === undefined && layout.isFastChain(object.name);
