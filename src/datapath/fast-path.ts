import { type Address, type Family, families, familyOf } from '../base/address.ts';
import { rule } from '../nftables/chain.ts';
import type { Chain, Element, Rule } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { Gateway, NodeState } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * A packet that may be handed over to the flowtable passes three chains at forward, behind all filters. The first and the last are
 * in the table of the agent's process, and are gone with it: one offers the packet, by a bit of its mark, and the last hands over
 * what was offered and lost the bit. Between them a chain in our table takes the bit away where the guard would let
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

/** What of the node the objects of fast paths depend on. */
export interface AroundFast extends Pick<NodeState, 'fwmark' | 'exits'> {
  readonly gateway?: Pick<Gateway, 'served'>;
}

/** What a node has for the fast paths of all its exits at forward. Nothing when no exit has one. */
export const desiredFastJudge = ({ fwmark, exits }: AroundFast): Chain[] => (exits.some(isFast) ? [judge(fwmark)] : []);

/** What a node has for those of them that leave from here: what counts what flowtables took, and drops what crossed. */
export function desiredFastCounters(node: AroundFast): HostObject[] {
  const fast = node.exits.filter((exit) => isFast(exit) && !intoTunnel(exit));
  if (fast.length === 0) return [];
  const served = fast.filter((exit) => isServed(node, exit));
  return [
    ...layout.fastSets,
    ...eachOnce([...fast.flatMap(provenElements), ...served.flatMap((exit) => servedElements(node, exit))]),
    ...(served.length > 0 ? [fastServed] : []),
  ];
}

/** The first rules of the chain that counts at an interface of exits: of packets without our mark, and of what flowtables took. */
export function fastRulesAt(node: AroundFast, device: string): readonly Rule[] {
  const { fwmark } = node;
  const fast = node.exits.filter((exit) => isFast(exit) && exit.device === device);
  if (device === tunnelDevice) return fast.length > 0 ? [intoTunnelRule(fwmark)] : [];
  const isOfServed = fast.some((exit) => isServed(node, exit));
  const end = say.verdict(isOfServed ? { code: 'goto', chain: layout.chainNames.fastServed } : { code: 'return' });
  return [rule(say.markWithout(fwmark), end), ...(fast.length > 0 ? provenRules(fwmark) : [])];
}

const isFast = ({ fastPath }: ResolvedExit): boolean => fastPath === true;
const isServed = ({ gateway }: AroundFast, { id }: ResolvedExit): boolean => gateway?.served.includes(id) === true;

/** Whether the exit's packets go into the tunnel on this node. */
export const intoTunnel = ({ device }: Pick<ResolvedExit, 'device'>): boolean => device === tunnelDevice;

/**
 * It asks what the guard asks. That is about the translated source, which a packet has behind forward only. So it gets it here, for two
 * questions: whether the interface has the address, and whether the lane is there. Then it gets its own back. Into the tunnel it keeps
 * its own.
 */
function judge(fwmark: number): Chain {
  const [bit, mark] = [offeredBit(fwmark), offeredMark(fwmark)];
  const passed = say.keepMark(~bit >>> 0);
  const lane = (family: Family) => say.markDeviceSourceIn(family, layout.exitIdMask, layout.setNames.lanes(family));
  return {
    kind: 'chain',
    name: layout.chainNames.fast,
    rules: [
      rule(say.markIsNot(mark, mark), done),
      rule(say.leavesBy(tunnelDevice), say.markIn(layout.exitIdMask, layout.setNames.tunnels), passed, done),
      ...families.map((family) => rule(say.writeSource(family, 'ct reply daddr'))),
      ...families.map((family) => rule(say.sourceIsOfOutput, lane(family), passed)),
      ...families.map((family) =>
        rule(say.markIn(layout.exitIdMask, layout.setNames.elsewhere), say.sourceIsLocal, lane(family), passed),
      ),
      ...families.map((family) => rule(say.writeSource(family, 'ct original saddr'))),
    ],
    hook: { type: 'filter', hook: 'forward', priority: fastPriorities.judge },
  };
}

const done = say.verdict({ code: 'return' });
const addressesOf = ({ ways }: ResolvedExit): readonly Address[] => ways.flatMap(({ addresses }) => addresses);

/** Of several exits with one address the first has what nobody can tell apart. */
const eachOnce = (elements: readonly Element[]): Element[] => [
  ...new Map(elements.toReversed().map((element) => [`${element.set} ${element.key}`, element])).values(),
];

const element = (set: string, key: Element['key']): Element => ({ kind: 'element', family: 'netdev', set, key });

/**
 * A packet that took the flowtable has the mark with that it came in: of a pod the proof. Its source is the exit's by now. On its
 * ordinary way it would have the exit's id.
 */
const provenElements = (exit: ResolvedExit): readonly Element[] =>
  addressesOf(exit).map((address) => ({
    ...element(layout.setNames.fast(familyOf(address)), layout.addressHex(address)),
    comment: String(exit.id),
  }));

/** Without our bits it is no packet of ours at interfaces below. */
const provenRules = (fwmark: number): readonly Rule[] =>
  families.map((family) =>
    rule(
      say.markIs(layout.markMask(fwmark), layout.idMark(fwmark, layout.proofId).value),
      say.frameSourceAmong(family, layout.setNames.fast(family)),
      say.keepMark(~layout.markMask(fwmark) >>> 0),
      done,
    ),
  );

/** Out of the tunnel a packet has the exit's id and no other bit, as its node has sent it. Exits may share an address. */
const servedElements = ({ exits }: AroundFast, exit: ResolvedExit): readonly Element[] =>
  addressesOf(exit).flatMap((address) => [
    ...exits
      .filter((other) => addressesOf(other).includes(address))
      .map(({ id }) => element(layout.setNames.taken(familyOf(address)), layout.exitAddressKey(id, address))),
    element(layout.setNames.crossed(familyOf(address)), layout.addressHex(address)),
  ]);

/** All bits but those of an exit's id. */
const aroundId = ~layout.exitIdMask >>> 0;

/**
 * Packets without our mark. The flowtable does not look at the id: where a node gives a running connection another exit, its packets
 * would go on by the one that they began with. So what has an address of an exit with a fast path and the id of another goes no
 * farther, as at the guard.
 */
const fastServed: Chain = {
  kind: 'chain',
  family: 'netdev',
  name: layout.chainNames.fastServed,
  rules: [
    rule(say.markIsExactly(0), done),
    ...families.map((family) =>
      rule(say.markFrameSourceAmong(family, layout.setNames.taken(family)), say.keepMark(0), done),
    ),
    rule(say.markIsNot(aroundId, 0), done),
    ...families.map((family) =>
      rule(say.frameSourceAmong(family, layout.setNames.crossed(family)), say.verdict({ code: 'drop' })),
    ),
  ],
};

/** Into the tunnel: the process has given the packet the id (`FastPath.into`), and kept our bit, which the packet around it must not have. */
const intoTunnelRule = (fwmark: number): Rule =>
  rule(
    say.markIs(fwmark, fwmark),
    say.markDeviceIn(layout.markMask(fwmark), layout.setNames.sent),
    say.keepMark(layout.exitIdMask),
    done,
  );

/** Only a kernel with the egress hook can have it: without that nothing would count what the flowtable takes. */
export const isFastJudge = (object: HostObject): boolean =>
  object.kind === 'chain' && object.family === undefined && object.name === layout.chainNames.fast;
