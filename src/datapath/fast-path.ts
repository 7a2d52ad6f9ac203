import type { Address } from '../base/address.ts';
import { rule } from '../nftables/chain.ts';
import type { Chain } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { NodeState, SteeredAttachment } from './attachment.ts';
import type { ResolvedExit } from './exit.ts';
import * as layout from './layout.ts';
import type { HostObject } from './objects.ts';

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

/** The chains of an exit with a fast path: they judge what was offered, and count what left by the flowtable. */
export const desiredFastPath = (fwmark: number, exits: readonly ResolvedExit[]): Chain[] => [
  ...exits.flatMap((exit) => (exit.fastPath ? [judgeChain(fwmark, exit)] : [])),
  ...fastLeftChains(fwmark, exits),
];

/** Those of them that go with their interface. */
export const fastLeftChains = (fwmark: number, exits: readonly ResolvedExit[]): Chain[] =>
  exits.flatMap((exit) => (exit.fastPath ? [leftChain(fwmark, exit)] : []));

/**
 * What the guard asks is about the translated source, which a packet has behind forward only. So it gets it here, for two questions:
 * whether the interface has the address, and whether the lane is there. Then it gets its own back.
 */
function judgeChain(fwmark: number, { id, ways, addressesOn }: ResolvedExit): Chain {
  const bit = offeredBit(fwmark);
  const mask = (layout.markMask(fwmark) | bit) >>> 0;
  const value = (offeredMark(fwmark) | id) >>> 0;
  return {
    kind: 'chain',
    name: layout.chainNames.exitFast(id),
    rules: [
      rule(say.markIsNot(mask, value), say.verdict({ code: 'return' })),
      ...ways.map(({ family }) => rule(say.writeSource(family, 'ct reply daddr'))),
      ...ways.map(({ family }) =>
        rule(
          addressesOn === undefined ? say.sourceIsOfOutput : say.sourceIsLocal,
          say.markDeviceSourceIn(family, layout.exitIdMask, layout.setNames.lanes(family)),
          say.keepMark(~bit >>> 0),
        ),
      ),
      ...ways.map(({ family }) => rule(say.writeSource(family, 'ct original saddr'))),
    ],
    hook: { type: 'filter', hook: 'forward', priority: fastPriorities.judge },
  };
}

/**
 * A packet that took the flowtable has the mark with that it came in: the proof. Its source is the exit's by now. Packets that
 * took the ordinary way have the exit's id, and are counted behind this, where packets without our bit cost least.
 */
const leftChain = (fwmark: number, { id, device, ways }: ResolvedExit): Chain => ({
  kind: 'chain',
  family: 'netdev',
  name: layout.chainNames.exitFast(id),
  rules: ways.flatMap(({ addresses }) =>
    addresses.map((address) =>
      rule(
        say.markIs(layout.markMask(fwmark), layout.idMark(fwmark, layout.proofId).value),
        say.frameSourceIn(address),
        say.counter,
        say.keepMark(~layout.markMask(fwmark) >>> 0),
        say.verdict({ code: 'return' }),
      ),
    ),
  ),
  hook: { type: 'filter', hook: 'egress', device, priority: -1 },
});

/** What the process of the fast path has to have in the kernel: plain data. */
export interface FastPath {
  readonly fwmark: number;
  /** Interfaces of exits, and the node's ends of pods' interfaces, each once, in order. */
  readonly devices: readonly string[];
  /** Addresses of the pods whose connections may be handed over, each once, in order. */
  readonly pods: readonly Address[];
}

/** A pod, as far as the fast path goes: the exits that its program leads to, by name. */
export interface FastPod extends Pick<SteeredAttachment, 'sources' | 'addresses' | 'holds'> {
  readonly exits: readonly string[];
}

/**
 * What the fast path is for on this node now; `undefined` when no pod uses an exit that has one. Only pods that are checked where they
 * come in have it: by the proof their packets are counted.
 */
export function fastPathOf(
  { fwmark, exits }: Pick<NodeState, 'fwmark' | 'exits'>,
  pods: readonly FastPod[],
): FastPath | undefined {
  const fast = new Map(exits.filter(({ fastPath }) => fastPath).map(({ name, device }) => [name, device]));
  const using = pods.filter(({ sources, exits }) => sources && exits.some((name) => fast.has(name)));
  if (using.length === 0) return undefined;
  const used = new Set(using.flatMap((pod) => pod.exits));
  const ofExits = [...fast].flatMap(([name, device]) => (used.has(name) ? [device] : []));
  const ofPods = using.flatMap(({ sources }) => sources?.devices ?? []);
  return {
    fwmark,
    devices: [...new Set([...ofExits, ...ofPods])].sort(),
    pods: [...new Set(using.flatMap(({ addresses }) => addresses))].sort(),
  };
}

/** Whether one can become the other by what is added alone: then no connection is ended. */
export const isMore = (next: FastPath, before: FastPath): boolean =>
  next.fwmark === before.fwmark &&
  before.devices.every((device) => next.devices.includes(device)) &&
  before.pods.every((pod) => next.pods.includes(pod));

/** Only a kernel with the egress hook can have it: without that nothing would count what the flowtable takes. */
export const isFastJudge = (object: HostObject): boolean =>
  object.kind === 'chain' && object.family === undefined && layout.isFastChain(object.name);
