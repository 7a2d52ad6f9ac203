import { families } from '../base/address.ts';
import type { NodeState, SteeredAttachment } from '../datapath/attachment.ts';
import { exitsOf } from '../datapath/desired.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import * as layout from '../datapath/layout.ts';
import type { HostObject, PolicyRule, Route } from '../datapath/objects.ts';
import type { OurState, UsedChain } from '../datapath/release.ts';
import type { Expression } from '../nftables/expression.ts';
import type { Chain, Element, Hook, InTable, NftSet } from '../nftables/object.ts';
import type { ObservedChain, ObservedElement, ObservedRule } from '../nftables/observed.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import {
  findElement,
  listChains,
  listElements,
  listRules,
  listSets,
  readIntervals,
  tableExists,
} from './nftables/read.ts';
import { routeProtocol } from './rtnetlink/protocol.ts';
import { listRoutes } from './rtnetlink/route.ts';
import { listRules as listPolicyRules } from './rtnetlink/rule.ts';

/** What is there of what one attachment needs in the table of the family inet. */
export async function observeTable(
  socket: NetlinkSocket,
  node: NodeState,
  attachment: SteeredAttachment,
  contents: boolean,
): Promise<HostObject[]> {
  const exitIds = exitsOf(node, attachment).map(({ id }) => id);
  const sets = (await listSets(socket)).filter(
    ({ name }) => isNodeSet(name) || name.startsWith(`${attachment.program}-`),
  );
  const chains = await readChains(socket);
  const names = new Set<string>([...baseChains, attachment.program, ...exitIds.map(layout.chainNames.exit)]);
  const exitElements = await listExitElements(socket);
  return [
    ...(await readSets(socket, sets, contents)),
    ...chains.filter(({ name }) => names.has(name)).map(chainOf),
    ...(await listElements(socket, layout.ownSet)).map(elementOf),
    ...exitElements.filter(({ key }) => exitIds.includes(layout.exitIdOfKey(key))),
    ...(await findPods(socket, attachment.addresses)),
  ];
}

/** What is there of what exits need in the table of the family netdev; nothing is looked for when there is no exit. */
export async function observeSent(socket: NetlinkSocket, exits: readonly ResolvedExit[]): Promise<HostObject[]> {
  const table = layout.sentTable;
  if (exits.length === 0 || !(await tableExists(socket, table))) return [];
  const names = new Set(exits.map(({ device }) => layout.chainNames.sent(device)));
  const elements = await listElements(socket, layout.sentSet);
  return [
    table,
    ...(await listSets(socket, table)),
    ...(await readChains(socket, table)).filter(({ name }) => names.has(name)).map(chainOf),
    ...elements.map(elementOf).filter(({ key }) => exits.some(({ id }) => id === layout.exitIdOfKey(key))),
  ];
}

const baseChains: readonly string[] = [
  layout.chainNames.classify,
  layout.chainNames.nat,
  layout.chainNames.guard,
  layout.chainNames.drop,
];

const isNodeSet = (name: string): boolean => !layout.isProgramChain(name);

/** Content is read of the node's own ranges, and of a program's only when asked: its name is made from it. */
async function readSets(socket: NetlinkSocket, sets: readonly NftSet[], contents: boolean): Promise<NftSet[]> {
  const read: NftSet[] = [];
  for (const { intervals, ...set } of sets) {
    if (intervals === undefined || !(contents || isNodeSet(set.name))) read.push(set);
    else read.push({ ...set, intervals: await readIntervals(socket, { ...set, intervals }) });
  }
  return read;
}

/** Our chains of a family with their rules, and how often they are led to from elsewhere. */
export async function readChains(socket: NetlinkSocket, table: InTable = {}): Promise<UsedChain[]> {
  const rules = Map.groupBy(await listRules(socket, undefined, table), ({ chain }) => chain);
  const chains = await listChains(socket, table);
  return chains.map((chain) => usedChain(chain, rules.get(chain.name) ?? [], table));
}

function usedChain({ name, hook, use }: ObservedChain, rules: readonly ObservedRule[], { family }: InTable): UsedChain {
  return {
    kind: 'chain',
    ...(family && { family }),
    name,
    // A place where we never hook in is kept as it is: it equals none of ours.
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

const chainOf = ({ references: _, ...chain }: UsedChain): Chain => chain;

const elementOf = ({ counter: _, ...element }: ObservedElement): Element => element;

/** Elements of the maps and sets of all exits in the table of the family inet. */
export async function listExitElements(socket: NetlinkSocket): Promise<Element[]> {
  const elements: Element[] = [];
  for (const family of families) {
    for (const set of [layout.snatMap(family), layout.lanesSet(family)]) {
      elements.push(...(await listElements(socket, set)).map(elementOf));
    }
  }
  return elements;
}

/** Elements of the pods' maps for addresses. */
export async function findPods(socket: NetlinkSocket, addresses: readonly string[]): Promise<Element[]> {
  const elements: Element[] = [];
  for (const address of addresses) {
    const element = await findElement(
      socket,
      layout.podsMap(address.includes(':') ? 6 : 4),
      layout.addressHex(address),
    );
    if (element !== undefined) elements.push(elementOf(element));
  }
  return elements;
}

/** Rules and routes of the exits, and the rules around them, in the families that the exits have. */
export async function observeRouting(
  socket: NetlinkSocket,
  node: NodeState,
  exits: readonly ResolvedExit[],
): Promise<(PolicyRule | Route)[]> {
  const tables = exits.map(({ id }) => node.routeTable + id);
  const inUse = new Set(exits.flatMap(({ ways }) => ways.map(({ family }) => family)));
  const isTheirs = ({ family, action }: PolicyRule) =>
    inUse.has(family) && (typeof action !== 'object' || !('lookup' in action) || tables.includes(action.lookup));
  return [...(await listOurRules(socket)).filter(isTheirs), ...(await listOurRoutes(socket, tables))];
}

/** Policy rules with our protocol number. */
export async function listOurRules(socket: NetlinkSocket): Promise<PolicyRule[]> {
  const rules: PolicyRule[] = [];
  for (const family of families) {
    for (const { protocol, ...rule } of await listPolicyRules(socket, family)) {
      if (protocol === routeProtocol) rules.push(rule as PolicyRule);
    }
  }
  return rules;
}

async function listOurRoutes(socket: NetlinkSocket, tables: readonly number[]): Promise<Route[]> {
  const routes: Route[] = [];
  for (const table of new Set(tables)) {
    for (const family of families) routes.push(...(await listRoutes(socket, family, table)));
  }
  return routes;
}

/** Everything of ours in nftables and routing. */
export async function observeOurs(
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  tables: readonly number[],
): Promise<OurState> {
  const rules = await listOurRules(route);
  const lookups = rules.flatMap(({ action }) =>
    typeof action === 'object' && 'lookup' in action ? [action.lookup] : [],
  );
  const hasSent = await tableExists(netfilter, layout.sentTable);
  const sent = hasSent ? await listElements(netfilter, layout.sentSet) : [];
  return {
    table: await tableExists(netfilter),
    chains: await readChains(netfilter),
    sets: await listSets(netfilter),
    ...(hasSent && { sent: (await readChains(netfilter, layout.sentTable)).map(chainOf) }),
    exitElements: [...(await listExitElements(netfilter)), ...sent.map(elementOf)],
    rules,
    routes: await listOurRoutes(route, [...lookups, ...tables]),
  };
}
