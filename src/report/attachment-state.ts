import { type Address, contains, families, familyOf, type Prefix } from '../base/address.ts';
import { nameOf } from '../datapath/describe.ts';
import { desired } from '../datapath/desired.ts';
import { difference, keyOf } from '../datapath/difference.ts';
import { withoutEgressHook } from '../datapath/egress-counters.ts';
import { entryChainOf } from '../datapath/held.ts';
import * as layout from '../datapath/layout.ts';
import { needsOf } from '../datapath/needs.ts';
import type { HostObject } from '../datapath/objects.ts';
import { needsLabels, withoutLabels } from '../datapath/remembered.ts';
import { lookupOf } from '../datapath/tables.ts';
import { openRanges } from '../datapath/unjudged.ts';
import type { Chain, Element, NftSet } from '../nftables/object.ts';
import type { Machine } from '../node/machine.ts';
import { steeredOf } from '../node/set-up.ts';
import type { Program } from '../policy/match.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';

/** An attachment, the objects that it needs, and those of them that are there. */
export interface AttachmentState {
  readonly record: WholeRecord;
  /** Undefined when the node's record is lost: then nothing else is known. */
  readonly node: NodeRecord | undefined;
  readonly wanted: readonly HostObject[];
  /** By {@link keyOf}. */
  readonly found: ReadonlyMap<string, HostObject>;
}

/** With all ranges of its program. Where the program's record is lost its sets will not be as expected. */
export interface WholeRecord extends AttachmentRecord {
  readonly matches: Program;
  /** Ranges of the cluster that its program leaves alone. */
  readonly inCluster: readonly Prefix[];
}

/** What is wrong with an object. */
export type Problem = 'missing' | 'different';

/** Looks at all objects of an attachment but the counters. */
export async function lookAt({ host, store }: Machine, outlined: AttachmentRecord): Promise<AttachmentState> {
  const content = { matches: outlined.outline, ...store.loadProgram(outlined.program) };
  const node = store.loadNode();
  const inCluster = content.cluster ?? outlined.cluster ?? node?.clusterCIDRs ?? [];
  const record: WholeRecord = { ...outlined, ...content, inCluster };
  if (node === undefined) return { record, node, wanted: [], found: new Map() };
  const needs = needsOf(node, { ...steeredOf(outlined), ...content });
  const { state } = await host.observe(node, needs, { contents: true });
  const found = new Map(state.map((object) => [keyOf(object), object]));
  const wanted = withoutEgressHook(desired(node, needs));
  return { record, node, wanted: state.some(needsLabels) ? wanted : withoutLabels(wanted), found };
}

/** The fault of a wanted object; `undefined` when it is as it should be. */
export function problemOf({ found }: AttachmentState, object: HostObject): Problem | undefined {
  const observed = found.get(keyOf(object));
  if (observed === undefined) return 'missing';
  return difference([object], [observed]).length > 0 ? 'different' : undefined;
}

/** The first of several objects that is not as it should be, in words; `undefined` when all are. */
export function faultIn(state: AttachmentState, objects: readonly HostObject[]): string | undefined {
  const wrong = objects.find((object) => problemOf(state, object) !== undefined);
  return wrong && faultOf(wrong, problemOf(state, wrong));
}

const faultOf = (object: HostObject, problem: Problem | undefined): string =>
  `${nameOf(object)} is ${problem === 'missing' ? 'missing' : 'not as expected'}`;

/** The chain of a name, as it should be. */
export const wantedChain = ({ wanted }: AttachmentState, name: string): Chain | undefined =>
  wanted.filter((object) => object.kind === 'chain').find((chain) => chain.name === name);

/** The sets, as they should be. */
export const wantedSets = ({ wanted }: AttachmentState): NftSet[] => wanted.filter((object) => object.kind === 'set');

/** The elements of a set, as they should be. */
export const wantedElements = ({ wanted }: AttachmentState, set: string): Element[] =>
  wanted.filter((object) => object.kind === 'element').filter((element) => element.set === set);

/** By this element packets from an address of the pod go through its program. */
export const podElement = (state: AttachmentState, address: Address): Element | undefined =>
  wantedElements(state, layout.setNames.pods(familyOf(address))).find(({ key }) => key === layout.addressHex(address));

/** Why packets from the address do not even reach the pod's program; `undefined` when they do. */
export function whyNotSteered(state: AttachmentState, address: Address): string | undefined {
  const { found, wanted } = state;
  const wayIn = [
    ...wanted.filter(({ kind }) => kind === 'table'),
    ...[
      wantedChain(state, layout.chainNames.classify),
      podElement(state, address),
      wantedChain(state, layout.entryOf(state.record.program)), // of checked pods
    ].filter((object) => object !== undefined),
  ];
  const missing = wayIn.find((object) => !found.has(keyOf(object)));
  return missing && faultOf(missing, 'missing');
}

/**
 * Whether a packet from the address to a destination goes nowhere where no chain of ours judges it: it has the mark of its
 * interface, and the rules and the route that this leads to are there. Ranges that no program steers are open all the same.
 */
export function isClosed({ node, wanted, found }: AttachmentState, address: Address, destination: Address): boolean {
  if (node === undefined || openRanges(node).some((range) => contains(range, destination))) return false;
  const [family, table] = [familyOf(address), node.routeTable + layout.unjudgedId];
  const isPart = (object: HostObject): boolean =>
    object.kind === 'ingressMark' ||
    (object.kind === 'rule' && object.family === family && lookupOf(object) === table) ||
    (object.kind === 'route' && object.family === family && object.table === table && object.type === 'unreachable');
  const parts = wanted.filter(isPart);
  return parts.some(({ kind }) => kind === 'ingressMark') && parts.every((object) => found.has(keyOf(object)));
}

/** Why nobody can say what the pod's program decides about packets from the address; `undefined` when somebody can. */
export function whyUndecided(state: AttachmentState, address: Address): string | undefined {
  const { record, found } = state;
  const element = podElement(state, address);
  const observed = element && found.get(keyOf(element));
  if (observed?.kind === 'element' && observed.verdict && 'chain' in observed.verdict) {
    const chain = layout.programBehind(observed.verdict.chain);
    if (chain !== record.program && chain !== entryChainOf(steeredOf(record)))
      return `the address has the program of another pod, ${chain}`;
  }
  const { classify, begin, prove } = layout.chainNames;
  const chains = [classify, begin, prove, record.program, layout.entryOf(record.program)];
  const isAsked = (object: HostObject): boolean =>
    (object.kind === 'chain' && chains.includes(object.name)) ||
    (object.kind === 'set' && (object.name.startsWith(`${record.program}-`) || isOfNode(object.name))) ||
    (object.kind === 'element' && object.set === layout.setNames.own);
  return faultIn(state, state.wanted.filter(isAsked));
}

const ofNode = [layout.setNames.own, ...layout.setsOf('earlier versions'), ...families.map(layout.setNames.pods)];

const isOfNode = (set: string): boolean => ofNode.includes(set);
