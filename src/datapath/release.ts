import { families, type Prefix } from '../base/address.ts';
import type { Chain, Element, NftSet } from '../nftables/object.ts';
import { deviceHex } from '../nftables/statement.ts';
import { local } from './answers.ts';
import type { NodeState } from './attachment.ts';
import type { Place } from './behind.ts';
import { classify } from './classify.ts';
import { type Change, difference, keyOf } from './difference.ts';
import type { ResolvedExit } from './exit.ts';
import { desiredLook } from './guard.ts';
import { type Kept, putBack } from './kept.ts';
import * as layout from './layout.ts';
import { type HostObject, type Other, type OutsideObject, outsideKinds } from './objects.ts';
import { tunnelDevice } from './tunnel.ts';

/** A chain as the kernel has it, and how many rules and elements elsewhere lead to it. */
export interface UsedChain extends Chain {
  readonly references: number;
}

/** Our objects on the node, as the kernel has them. */
export interface OurState {
  /** Whether our table of the family inet is there, and is not somebody else's; without it there is nothing in `chains` and `sets`. */
  readonly table: boolean;
  readonly chains: readonly UsedChain[];
  readonly sets: readonly NftSet[];
  /** Chains of our table of the family netdev; absent without that table. */
  readonly sent?: readonly Chain[];
  /** The sets that count what flowtables took, and their elements. */
  readonly fast: readonly (NftSet | Element)[];
  /** Elements of the set of exits' interfaces. */
  readonly uplinks: readonly Element[];
  /** Elements of the maps and sets of exits. */
  readonly exitElements: readonly Element[];
  /** Values of the administrator's that were overwritten. */
  readonly kept: readonly Kept[];
  /** Our objects outside of nftables. Objects on the tunnel's device are left out, since they go with it. */
  readonly outside: readonly OutsideObject[];
  /** Others' objects with our number or a name of ours. The lists above have none of them. */
  readonly others: readonly Other[];
}

/** Facts that only the node's record has. */
export interface Remembered {
  /** Absent without a record: then the rules tell. */
  readonly routeTable?: number;
  readonly exits: readonly ResolvedExit[];
  /** Values to put back into kernel parameters, by name. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Ranges that no program on the node steers. */
  readonly spared?: readonly Prefix[];
  /** Addresses that others hold, and that the kernel was made to find on exits' interfaces first. */
  readonly behind?: readonly Place[];
  /** The node may be given addresses at any moment: it stays deaf on them. */
  readonly isElected?: boolean;
  /** There are pods that are marked where they come in, and the kernel has nothing else of them: somebody flushed it. */
  readonly hasFlushed?: boolean;
}

/** The owners of objects that are in use. */
export interface InUse {
  /** Ids of exits. */
  readonly exits: ReadonlySet<number | undefined>;
  /** Ids of exits that are served to other nodes. */
  readonly served: ReadonlySet<number>;
  readonly hasTunnel: boolean;
  readonly remembered: Remembered;
}

/**
 * The objects that may go with `elements` of pods and of a gateway's exits, and with chains at interfaces of pods. A
 * program goes when no other pod has it. An exit goes when neither a program nor the tunnel leads to it. The tunnel
 * goes when no exit uses it and none is served. All of ours goes when neither a program nor a served exit is left. The
 * kernel's use counts decide, not a list of ours that could be lost. Leftovers of a failed ADD go, too, for an exit
 * that never got its chain.
 */
export function released(
  state: OurState,
  elements: readonly Element[],
  remembered: Remembered,
  sourceChains: readonly Chain[] = [],
): HostObject[] {
  const goneChains = unusedChains(state.chains, elements);
  const goneNames = new Set(goneChains.map(({ name }) => name));
  const left = state.chains.filter(({ name }) => !goneNames.has(name));
  const served = servedLeft(state, elements);
  const isGateway = served.size > 0 || remembered.isElected === true;
  const exitIds = new Set(left.map(({ name }) => layout.exitIdOfChain(name)));
  if (isGateway) exitIds.add(layout.replyId);
  if (remembered.hasFlushed || isAnyMarked(left, state, sourceChains)) exitIds.add(layout.unjudgedId);
  const hasTunnel = isGateway || usesTunnel(state, exitIds);
  const outside = (hasTunnel: boolean) => releasedOutside(state, { exits: exitIds, served, hasTunnel, remembered });
  if (!isGateway && !left.some(({ name }) => layout.isProgramChain(name))) {
    const table = state.table ? [{ kind: 'table' } as const] : [];
    return [...outside(false), ...table, ...(state.sent ? [layout.netdevTable] : [])];
  }
  const inUse = new Set(left.flatMap(setsLookedInto));
  const isOfGoneExit = ({ name }: Chain | NftSet) => isPartOfOthers(name, exitIds);
  const goneSets = state.sets.filter(
    (set) =>
      isOfGoneExit(set) ||
      goneChains.some((chain) => set.name.startsWith(`${chain.name}-`)) ||
      (sharedRanges.includes(set.name) && !inUse.has(set.name)),
  );
  const parts = [
    ...(isGateway ? [] : partsOf(state, layout.gatewayParts)),
    ...(hasTunnel ? [] : partsOf(state, layout.tunnelParts)),
  ];
  const back = putBack(state, exitIds, remembered);
  const nft = [
    ...withoutRepeats([
      ...elements,
      ...elementsOfOtherExits(state, exitIds),
      ...back.elements,
      ...goneUplinks(state, exitIds),
    ]),
    ...state.chains.filter(isOfGoneExit), // some of them lead to the chain of their exit
    ...goneChains,
    ...goneSets,
    ...back.maps,
    ...parts,
  ];
  return [...outside(hasTunnel), ...nft, ...goneAtInterfaces(state, exitIds, sourceChains)];
}

/**
 * The chains of all that lead to some of those which go, or ask for what goes with them, as they are without: of a gateway, or
 * of the tunnel. Without a record the tunnel's device tells its port, and what asks for the tunnel stays as it is.
 */
export function rewritten(
  { chains, outside }: Pick<OurState, 'chains' | 'outside'>,
  gone: ReadonlySet<string>,
  node: Pick<NodeState, 'fwmark' | 'tunnel'> | undefined,
): Change[] {
  const isLeft = (name: string) => !gone.has(name) && chains.some((chain) => chain.name === name);
  const link = outside.find((object) => object.kind === 'tunnel');
  const { port } = (isLeft(layout.chainNames.arrive) ? (node?.tunnel ?? link) : undefined) ?? {};
  const branches = { ...(port !== undefined && { port }), isGateway: isLeft(layout.chainNames.replies) };
  const leading = new Set(
    chains.filter((chain) => chainsLedTo(chain).some((name) => gone.has(name))).map(({ name }) => name),
  );
  const wanted = [
    ...[local(branches), classify(branches)].filter(({ name }) => leading.has(name)),
    ...(node && gone.has(layout.chainNames.arrive) ? desiredLook({ fwmark: node.fwmark }) : []),
  ];
  const names = new Set(wanted.map(({ name }) => name));
  return difference(
    wanted,
    chains.filter(({ name }) => names.has(name)),
  );
}

/** Whether there are pods left that are checked, and so marked, where they come in. */
function isAnyMarked(left: readonly Chain[], { sent = [] }: OurState, gone: readonly Chain[]): boolean {
  const names = new Set(gone.map(({ name }) => name));
  const isLeft = ({ name }: Chain) => layout.isSourceChain(name) && !names.has(name);
  return left.some(({ name }) => layout.isEntryChain(name)) || sent.some(isLeft);
}

/** Ids of the exits that are served to others without the elements that go. */
export function servedLeft(
  { exitElements }: Pick<OurState, 'exitElements'>,
  gone: readonly Element[],
): ReadonlySet<number> {
  const goneKeys = new Set(gone.map(keyOf));
  const served = exitElements.filter(({ set }) => set === layout.setNames.served);
  return new Set(served.filter((element) => !goneKeys.has(keyOf(element))).map(({ key }) => layout.exitIdOfKey(key)));
}

const usesTunnel = ({ exitElements }: OurState, used: ReadonlySet<number | undefined>): boolean =>
  exitElements.some(({ set, key }) => set === layout.setNames.tunnels && used.has(layout.exitIdOfKey(key)));

const releasedOutside = (state: OurState, inUse: InUse): OutsideObject[] =>
  Object.values(outsideKinds).flatMap((kind): readonly OutsideObject[] => kind.released(state, inUse));

/** Whether a chain or set is a part of an exit that is not in use. */
function isPartOfOthers(name: string, used: ReadonlySet<number | undefined>): boolean {
  const id = layout.exitIdOfPart(name);
  return id !== undefined && !used.has(id);
}

/** The named chains and sets that are there, in that order: chains before the sets that they look into. */
const partsOf = (
  { chains, sets }: OurState,
  names: { readonly chains: readonly string[]; readonly sets: readonly string[] },
): HostObject[] => [
  ...names.chains.flatMap((name) => chains.filter((chain) => chain.name === name)),
  ...names.sets.flatMap((name) => sets.filter((set) => set.name === name)),
];

const withoutRepeats = (elements: readonly Element[]): Element[] => [
  ...new Map(elements.map((element) => [keyOf(element), element])).values(),
];

/** Objects at interfaces that nobody needs; with the last of them, the table. */
function goneAtInterfaces(
  state: OurState,
  used: ReadonlySet<number | undefined>,
  sourceChains: readonly Chain[],
): HostObject[] {
  const { sent = [], exitElements } = state;
  const isCounted = exitElements.some(({ family, key }) => family === 'netdev' && used.has(layout.exitIdOfKey(key)));
  const gone = new Set(sourceChains.map(({ name }) => name));
  const isChecked = sent.some(({ name }) => layout.isSourceChain(name) && !gone.has(name));
  if (!isCounted && !isChecked) return state.sent ? [layout.netdevTable] : [];
  return [
    ...goneSent(state, used, isCounted),
    ...sourceChains,
    ...(isChecked ? [] : sent.filter(({ name }) => name === layout.chainNames.unowned)),
  ];
}

/** Counters of exits that are not in use, and chains at interfaces that no other exit has. */
function goneSent({ sent = [], exitElements }: OurState, used: ReadonlySet<number | undefined>, isCounted: boolean) {
  const elements = exitElements.filter(({ family }) => family === 'netdev');
  const isUsed = (element: Element) => used.has(layout.exitIdOfElement(element));
  const left = elements.filter(isUsed).map(({ key }) => layout.chainNames.sent(layout.deviceOfKey(key)));
  const chains = sent.filter(({ hook, name }) => hook?.hook === 'egress' && !left.includes(name));
  return [
    ...elements.filter((element) => !isUsed(element)),
    ...chains,
    ...(isCounted || elements.length === 0 ? [] : [layout.sentSet]),
  ];
}

/** Interfaces that no exit in use leaves by. */
function goneUplinks({ uplinks, exitElements }: OurState, used: ReadonlySet<number | undefined>): Element[] {
  const lanes = families.map(layout.setNames.lanes);
  const inUse = exitElements.filter(({ set, key }) => lanes.includes(set) && used.has(layout.exitIdOfKey(key)));
  const needed = new Set([tunnelDevice, ...inUse.map(({ key }) => layout.deviceOfKey(key))].map(deviceHex));
  return uplinks.filter(({ key }) => !needed.has(key));
}

/** Programs and chains of ports that only the elements lead to, then exits that only those programs and the elements lead to. */
function unusedChains(chains: readonly UsedChain[], elements: readonly Element[]): UsedChain[] {
  const leading = (name: string) =>
    elements.filter(({ verdict }) => verdict && 'chain' in verdict && verdict.chain === name).length;
  const entries = chains.filter(({ name, references }) => layout.isEntryChain(name) && references <= leading(name));
  const entered = entries.flatMap(chainsLedTo);
  const own = chains.filter(
    ({ name, references }) =>
      (layout.isProgramChain(name) || layout.isPortsChain(name)) &&
      !layout.isEntryChain(name) &&
      references <= leading(name) + entered.filter((target) => target === name).length,
  );
  // An exit is no user of itself: the answers to its addresses lead to it, too.
  const leaders = [...entries, ...own, ...chains.filter(({ name }) => layout.exitIdOfPart(name) !== undefined)];
  const gotos = (name: string) => leaders.flatMap(chainsLedTo).filter((target) => target === name).length;
  const exits = chains.filter(
    ({ name, references }) => layout.exitIdOfChain(name) !== undefined && references <= gotos(name) + leading(name),
  );
  return [...entries, ...own, ...exits];
}

/** Sets that only programs from before they had ranges of their own look into. */
const sharedRanges: readonly string[] = families.map(layout.setNames.cluster);

/** The sets and maps that the rules of a chain look into. */
const setsLookedInto = (chain: Chain): string[] =>
  expressionsOf(chain).flatMap((expression) => (expression.name === 'lookup' ? [expression.set] : []));

const expressionsOf = ({ rules }: Chain) =>
  rules.flatMap(({ statements }) => statements.flatMap(({ expressions }) => expressions));

/** The chains that the rules of a chain lead to, one entry for each rule. */
function chainsLedTo(chain: Chain): string[] {
  return expressionsOf(chain).flatMap((expression) =>
    expression.name === 'immediate' && 'verdict' in expression && 'chain' in expression.verdict
      ? [expression.verdict.chain]
      : [],
  );
}

const elementsOfOtherExits = ({ exitElements }: OurState, used: ReadonlySet<number | undefined>): Element[] =>
  exitElements.filter((element) => element.family === undefined && !used.has(layout.exitIdOfElement(element)));
