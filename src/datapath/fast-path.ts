import { type Address, type Family, families, familyOf } from '../base/address.ts';
import { rule } from '../nftables/chain.ts';
import type { Chain, Rule, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
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
const intoTunnel = ({ device }: Pick<ResolvedExit, 'device'>): boolean => device === tunnelDevice;

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
    ...own.map((address) =>
      rule(say.markIsExactly(exit.id), say.frameSourceIn(address), say.counter, say.keepMark(0), done),
    ),
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

/** The comment of rules that drop what has the address of an exit and the id of another. */
export const crossed = 'of another exit';

/** Into the tunnel: {@link FastPath.into} has given the packet the id, and kept our bit, which the packet around it must not have. */
const intoTunnelRule = (fwmark: number, { id }: ResolvedExit): Rule =>
  rule(
    say.markIs(layout.markMask(fwmark), layout.idMark(fwmark, id).value),
    say.counter,
    say.keepMark(layout.exitIdMask),
  );

/** What the process of the fast path has to have in the kernel: plain data. */
export interface FastPath {
  readonly fwmark: number;
  /** Interfaces of exits, the tunnel's, and the node's ends of pods' interfaces, each once, in order. */
  readonly devices: readonly string[];
  /** Whose connections by which exits may be handed over, each once, in order. */
  readonly pods: readonly FastUse[];
  /** Ids of the exits whose packets go into the tunnel. A pod has one of them at most: by its address packets get the id there. */
  readonly into: readonly number[];
  /** What comes out of the tunnel; absent on a node that is no gateway of such an exit. */
  readonly served?: FastServed;
}

/** An address of a pod, and the id of an exit that its connections leave by. */
export interface FastUse {
  readonly address: Address;
  readonly exit: number;
}

/** A gateway's part of the fast path. */
export interface FastServed {
  /** Ids of exits. */
  readonly exits: readonly number[];
  /** Without a way of answers by the tunnel IPv4 alone: of IPv6 the kernel makes entries that no packet matches (Linux 6.12). */
  readonly families: readonly Family[];
  /** Answers to pods elsewhere take the tunnel. */
  readonly answersByTunnel: boolean;
}

/** A pod, as far as the fast path goes: the exits that its program leads to, by name. */
export interface FastPod extends Pick<SteeredAttachment, 'sources' | 'addresses'> {
  readonly exits: readonly string[];
}

/**
 * What the fast path is for on this node now; `undefined` when no pod uses an exit that has one, and no other node sends such packets
 * here. Only pods that are checked where they come in have it: by the proof their packets are counted. The flowtable sends answers to where
 * packets came from. On a gateway that is the tunnel: where answers are to go directly, it must not see them.
 */
export function fastPathOf(
  node: Pick<NodeState, 'fwmark' | 'exits' | 'tunnel' | 'gateway'>,
  pods: readonly FastPod[],
): FastPath | undefined {
  const fast = node.exits.filter(({ fastPath }) => fastPath);
  const through = familiesOfTunnel(node.tunnel);
  const served = fast.filter(({ id }) => node.gateway?.served.includes(id));
  const answersByTunnel = (node.gateway?.replies.length ?? 0) > 0;
  const used = new Set<ResolvedExit>();
  const uses: FastUse[] = [];
  const devices = new Set(served.flatMap(({ device }) => [device, tunnelDevice]));
  for (const { sources, addresses, exits } of pods) {
    const own = sources === undefined ? [] : exitsOf(fast, exits);
    for (const exit of own) {
      const led = intoTunnel(exit) ? through : families;
      const able = addresses.filter((address) => led.includes(familyOf(address)));
      uses.push(...able.map((address) => ({ address, exit: exit.id })));
      used.add(exit);
    }
    if (own.length > 0) for (const device of sources?.devices ?? []) devices.add(device);
  }
  for (const { device } of used) devices.add(device);
  if (devices.size === 0) return undefined;
  if (!answersByTunnel) for (const { device } of served) devices.delete(device);
  return {
    fwmark: node.fwmark,
    devices: [...devices].sort(),
    pods: [...new Map(uses.map((use) => [textOf(use), use])).entries()].sort(byText).map(([, use]) => use),
    into: [...used].filter(intoTunnel).map(({ id }) => id),
    ...(served.length > 0 && {
      served: {
        exits: served.map(({ id }) => id),
        families: through.filter((family) => answersByTunnel || family === 4),
        answersByTunnel,
      },
    }),
  };
}

/** Of a pod's exits those that have a fast path; of those by the tunnel the first alone, since its packets get that one's id. */
function exitsOf(fast: readonly ResolvedExit[], names: readonly string[]): readonly ResolvedExit[] {
  const own = [...new Set(names)].flatMap((name) => fast.find((exit) => exit.name === name) ?? []);
  const first = own.find(intoTunnel);
  return own.filter((exit) => exit === first || !intoTunnel(exit));
}

/**
 * Families that a flowtable leads into the tunnel. A tunnel between IPv6 addresses has next hops of IPv6 for both, and for a packet of
 * IPv4 the kernel’s flowtable takes its destination for the next hop then (`rt_nexthop` in `nf_flow_offload_ip_hook`, by its source).
 */
const familiesOfTunnel = (tunnel: NodeState['tunnel']): readonly Family[] =>
  tunnel === undefined || familyOf(tunnel.local) === 4 ? families : [6];

const textOf = ({ address, exit }: FastUse): string => `${address} ${exit}`;
const byText = ([a]: readonly [string, FastUse], [b]: readonly [string, FastUse]): number =>
  a < b ? -1 : a > b ? 1 : 0;

/** The ids of exits that pods use. */
export const exitsInUse = ({ pods }: Pick<FastPath, 'pods'>): readonly number[] => [
  ...new Set(pods.map(({ exit }) => exit)),
];

/** What of a list is not in another one of the same kind. */
export function lacking({ pods, devices }: FastPath, before: FastPath): Pick<FastPath, 'pods' | 'devices'> {
  const had = new Set(before.pods.map(textOf));
  const present = new Set(before.devices);
  return {
    pods: pods.filter((use) => !had.has(textOf(use))),
    devices: devices.filter((device) => !present.has(device)),
  };
}

/** Whether one can become the other by pods and interfaces that are added: then no connection is ended. */
export function isMore(next: FastPath, before: FastPath): boolean {
  const { pods, devices } = lacking(before, next);
  const isSame = (part: (of: FastPath) => unknown) => JSON.stringify(part(next)) === JSON.stringify(part(before));
  return (
    pods.length === 0 &&
    devices.length === 0 &&
    isSame(({ fwmark, into, served }) => [fwmark, into, served]) &&
    isSame((of) => exitsInUse(of).toSorted())
  );
}

/** Only a kernel with the egress hook can have it: without that nothing would count what the flowtable takes. */
export const isFastJudge = (object: HostObject): boolean =>
  object.kind === 'chain' && object.family === undefined && layout.isFastChain(object.name);
