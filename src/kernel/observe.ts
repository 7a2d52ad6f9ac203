import { families } from '../base/address.ts';
import { once } from '../base/once.ts';
import { concernsAnswers } from '../datapath/answers.ts';
import type { NodeState } from '../datapath/attachment.ts';
import * as layout from '../datapath/layout.ts';
import { isLeftElsewhere } from '../datapath/left-elsewhere.ts';
import type { Needs } from '../datapath/needs.ts';
import type { HostObject } from '../datapath/objects.ts';
import type { UsedChain } from '../datapath/release.ts';
import { oneOfEachEntry } from '../datapath/sources.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { Expression } from '../nftables/expression.ts';
import type { Chain, Element, Hook, InTable, NftSet } from '../nftables/object.ts';
import type { ObservedChain, ObservedRule } from '../nftables/observed.ts';
import { deviceHex } from '../nftables/statement.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { listChains, listElements, listRules, listSets, readIntervals, readTable } from './nftables/read.ts';
import { elementOf, findBlocks, findPods, listSet } from './observe-pods.ts';

/** The needed objects that are there in the table of the family inet. */
export async function observeTable(
  socket: NetlinkSocket,
  node: NodeState,
  needs: Needs,
  contents: boolean,
): Promise<HostObject[]> {
  const { attachment, fellows = [], gateway } = needs;
  const exitIds: ReadonlySet<number | undefined> = new Set(needs.exits.map(({ id }) => id));
  const uplinks = new Set([tunnelDevice, ...needs.exits.map(({ device }) => device)].map(deviceHex));
  const [chainNames, setNames] = namesOf(node, needs);
  const sets = (await listSets(socket)).filter(
    ({ name }) => setNames.has(name) || (attachment && name.startsWith(`${attachment.program}-`)),
  );
  const chains = await readChains(socket);
  const exitElements = await listExitElements(socket);
  const served = gateway ? await listSet(socket, layout.servedMap) : [];
  const blockKeys = new Set(needs.ports.map(({ id, address }) => layout.exitAddressKey(id, address)));
  return [
    ...(await readSets(socket, sets, contents)),
    ...chains.filter((chain) => chainNames.has(chain.name) || isForeign(chain)).map(chainOf),
    ...(await listElements(socket, layout.ownSet)).map(elementOf),
    ...(await listSet(socket, layout.uplinksSet)).filter(({ key }) => uplinks.has(key)),
    ...exitElements.filter((element) => {
      const id = layout.exitIdOfElement(element);
      return (
        exitIds.has(id) || concernsAnswers(element, node, exitIds) || (id === layout.replyId && gateway !== undefined)
      );
    }),
    ...(await listSlots(socket, sets)),
    ...served,
    ...(await findPods(
      socket,
      [...(attachment ? [attachment] : []), ...fellows].flatMap(({ addresses }) => addresses),
    )),
    ...(await findBlocks(socket, ({ key }) => blockKeys.has(key))),
  ];
}

/** Chains of a local exit; an exit through the tunnel has the first alone. */
const chainsOfExit = (id: number): string[] => [
  layout.chainNames.exit(id),
  layout.chainNames.exitSnat(id),
  layout.chainNames.exitReturns(id),
  layout.chainNames.exitLocal(id),
  layout.chainNames.exitBack(id),
];

/** Names of the chains and of the sets that are looked for, but for a program's sets. */
function namesOf(
  { tunnel, gateway }: NodeState,
  { exits, attachment, checked = [], ports }: Needs,
): [ReadonlySet<string>, ReadonlySet<string>] {
  const parts = [...(tunnel ? [layout.tunnelParts] : []), ...(gateway ? [layout.gatewayParts] : [])];
  const chains = [
    ...baseChains,
    ...exits.flatMap(({ id }) => chainsOfExit(id)),
    ...parts.flatMap(({ chains }): readonly string[] => chains),
    ...(attachment ? [attachment.program] : []),
    ...oneOfEachEntry(checked).map(({ program }) => layout.entryOf(program)),
    ...ports.map(({ id, address }) => layout.chainNames.ports(id, address)),
  ];
  const sets = [
    ...baseSets,
    ...(attachment && attachment.cluster === undefined ? families.map(layout.setNames.cluster) : []),
    ...exits.flatMap(({ id }) => layout.addressMaps(id).map(({ name }) => name)),
    ...parts.flatMap(({ sets }): readonly string[] => sets),
  ];
  return [new Set(chains), new Set(sets)];
}

/** The objects of exits, and of attachments' sources, that are there in the table of the family netdev. */
export async function observeNetdev(
  socket: NetlinkSocket,
  node: NodeState,
  { exits, checked = [] }: Needs,
): Promise<HostObject[]> {
  const devices = checked.flatMap(({ sources }) => sources?.devices ?? []);
  const table = exits.length + devices.length === 0 ? undefined : await readTable(socket, layout.netdevTable);
  if (table === undefined) return [];
  const names = new Set<string>([
    ...exits.map(({ device }) => layout.chainNames.sent(device)),
    ...(exits.length > 0 ? [layout.chainNames.fastServed] : []),
    ...(devices.length > 0 ? [layout.chainNames.unowned, ...devices.map(layout.chainNames.from)] : []),
  ]);
  const elements = await listElements(socket, layout.sentSet);
  const sets = exits.length > 0 ? await listSets(socket, table) : [];
  const hasFast = sets.some(({ name }) => layout.isFastSet(name));
  const isOfThese = (chain: ChainHead) => names.has(chain.name) || isForeign(chain);
  const mayBeLeft = ({ name }: ChainHead) => hasFast && layout.isSentChain(name);
  return [
    table,
    ...sets,
    ...(await listFast(socket, sets)),
    ...(await readChains(socket, table, (chain) => isOfThese(chain) || mayBeLeft(chain)))
      .filter((chain) => isOfThese(chain) || isLeftElsewhere(node, exits, chain))
      .map(chainOf),
    ...elements.map(elementOf).filter(({ key }) => exits.some(({ id }) => id === layout.exitIdOfKey(key))),
  ];
}

/** Elements of the sets of the fast path that are among the sets of the table at interfaces: those of all exits. */
export async function listFast(socket: NetlinkSocket, sets: readonly NftSet[]): Promise<Element[]> {
  const elements: Element[] = [];
  for (const set of layout.fastSets)
    if (sets.some(({ name }) => name === set.name)) elements.push(...(await listSet(socket, set)));
  return elements;
}

const baseChains = layout.chainsOf('base');

const baseSets: readonly string[] = [...layout.setsOf('base'), ...layout.setsOf('pod')];

const isNodeSet = (name: string): boolean => !layout.isProgramChain(name);

/** Content is read of the node's own ranges, and of a program's only when asked: its name is made from it. */
export async function readSets(socket: NetlinkSocket, sets: readonly NftSet[], contents: boolean): Promise<NftSet[]> {
  const read: NftSet[] = [];
  for (const { intervals, ...set } of sets) {
    if (intervals === undefined || !(contents || isNodeSet(set.name))) read.push(set);
    else read.push({ ...set, intervals: await readIntervals(socket, { ...set, intervals }) });
  }
  return read;
}

/** Our chains of a family with their rules, and how often they are led to from elsewhere: all, or those that are wanted. */
export async function readChains(
  socket: NetlinkSocket,
  table: InTable = {},
  isWanted: (chain: ChainHead) => boolean = () => true,
): Promise<readonly UsedChain[]> {
  const all = await listChains(socket, table);
  const wanted = all.filter(({ name, hook }) => isWanted({ name, ...(hook && { hook: hook as Hook }), ...table }));
  if (wanted.length * fewOf > all.length)
    return usedChains(all, await listRules(socket, undefined, table), table).filter(isWanted);
  const chains: UsedChain[] = [];
  for (const chain of wanted) chains.push(usedChain(chain, await listRules(socket, chain.name, table), table));
  return chains;
}

type ChainHead = Pick<Chain, 'name' | 'hook' | 'family'>;

/** When one of so many chains is wanted, rules are asked for chain by chain: a node has a chain for each pod. */
const fewOf = 4;

const usedChains = once((chains: readonly ObservedChain[], all: readonly ObservedRule[], table: InTable) => {
  const rules = Map.groupBy(all, ({ chain }) => chain);
  return chains.map((chain) => usedChain(chain, rules.get(chain.name) ?? [], table));
});

export function usedChain(
  { name, hook, use }: ObservedChain,
  rules: readonly ObservedRule[],
  { family }: InTable,
): UsedChain {
  return {
    kind: 'chain',
    ...(family && { family }),
    name,
    // A hook that we never use is kept as it is: it equals none of ours.
    ...(hook !== undefined && { hook: hook as Hook }),
    rules: rules.map(ruleOf),
    references: use - rules.length,
  };
}

/** The kernel keeps no words. Expressions that are not ours are kept: they equal none of ours. */
const ruleOf = ({ expressions, comment }: ObservedRule): Chain['rules'][number] => ({
  statements: [{ text: '', expressions: expressions as Expression[] }],
  ...(comment !== undefined && { comment }),
});

/** A base chain that is none of ours: nobody else has a say in our tables. Chains that nothing leads to do nothing. */
const isForeign = ({ name, hook, family }: ChainHead): boolean =>
  hook !== undefined && !layout.isBaseChain(name, family);

export const chainOf = ({ references: _, ...chain }: UsedChain): Chain => chain;

/** Elements of the maps and sets of all exits in the table of the family inet, without served exits. */
export async function listExitElements(socket: NetlinkSocket): Promise<Element[]> {
  const sets = families.flatMap((family) => [
    layout.snatMap(family),
    layout.lanesSet(family),
    layout.returnsMap(family),
    layout.localsMap(family),
  ]);
  const elements: Element[] = [];
  for (const set of [...sets, layout.tunnelsSet, layout.fallbackSet, layout.elsewhereSet, layout.spreadMap])
    elements.push(...(await listSet(socket, set)));
  return elements;
}

/** The addresses of exits' slots, in the maps that are there. */
async function listSlots(socket: NetlinkSocket, sets: readonly NftSet[]): Promise<Element[]> {
  const elements: Element[] = [];
  for (const set of sets) {
    if (layout.exitIdOfPart(set.name) !== undefined) elements.push(...(await listSet(socket, set)));
  }
  return elements;
}
