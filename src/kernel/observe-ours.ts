import { families } from '../base/address.ts';
import type { NodeState } from '../datapath/attachment.ts';
import * as layout from '../datapath/layout.ts';
import type { NodeRoute, Other } from '../datapath/objects.ts';
import { isOurRoute, isOurTable } from '../datapath/ours.ts';
import type { OurState } from '../datapath/release.ts';
import { lookupOf, tablesOfNode } from '../datapath/tables.ts';
import type { InTable, Table } from '../nftables/object.ts';
import { listOutside } from './kinds.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { listElements, listSets, readTable } from './nftables/read.ts';
import { chainOf, listExitElements, listFast, readChains } from './observe.ts';
import { listKept } from './observe-kept.ts';
import { elementOf, listSet } from './observe-pods.ts';
import { routeProtocol } from './rtnetlink/protocol.ts';
import { listNodeRoutes } from './rtnetlink/route.ts';
import { ruleKind } from './rtnetlink/rule.ts';

/** Everything of ours in nftables and routing, by the node's record or without one. */
export async function observeOurs(
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  node: NodeState | undefined,
): Promise<OurState> {
  const outside = await listOutside(route, node);
  const tables = await observeTables(netfilter);
  return {
    ...tables,
    kept: await listKept(netfilter, route, tables.sets),
    outside: outside.ours,
    others: [...tables.others, ...outside.others],
  };
}

/** Our objects in both tables. One with our name that holds nothing of ours is somebody else's. */
async function observeTables(socket: NetlinkSocket) {
  const inet = await readOurTable(socket, {});
  const sent = await readOurTable(socket, layout.netdevTable);
  const elements = sent.isOurs ? await listElements(socket, layout.sentSet) : [];
  return {
    table: inet.isOurs,
    chains: inet.chains,
    sets: inet.sets,
    ...(sent.isOurs && { sent: sent.chains.map(chainOf) }),
    fast: [...sent.sets.filter(({ name }) => layout.isFastSet(name)), ...(await listFast(socket, sent.sets))],
    uplinks: await listSet(socket, layout.uplinksSet),
    exitElements: [
      ...(await listExitElements(socket)),
      ...(await listSet(socket, layout.servedMap)),
      ...elements.map(elementOf),
    ],
    others: [inet, sent].flatMap(({ found, isOurs }) => (found && !isOurs ? [found] : [])),
  };
}

/** A table with our name of a family; its chains and sets only when it is ours. */
async function readOurTable(socket: NetlinkSocket, family: InTable) {
  const found = await readTable(socket, family);
  const chains = found ? await readChains(socket, found) : [];
  const sets = found ? await listSets(socket, found) : [];
  const isOurs = isOurTable(chains, sets);
  return { found, isOurs, chains: isOurs ? chains : [], sets: isOurs ? sets : [] };
}

/** Tables with our name that hold nothing of ours. */
export async function listOthersTables(socket: NetlinkSocket): Promise<readonly Table[]> {
  const tables = [await readOurTable(socket, {}), await readOurTable(socket, layout.netdevTable)];
  return tables.flatMap(({ found, isOurs }) => (found && !isOurs ? [found] : []));
}

/** The same, and others' objects with our number. */
export const listOthers = async (
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  node: NodeState | undefined,
): Promise<readonly Other[]> => [...(await listOthersTables(netfilter)), ...(await listNumbered(route, node))];

/** Rules and routes with our protocol number that others made, in whichever table. */
async function listNumbered(socket: NetlinkSocket, node: NodeState | undefined): Promise<readonly Other[]> {
  const { ours: rules, others = [] } = await ruleKind.list({ socket, node, found: [] });
  const tables = new Set([...(node ? tablesOfNode(node).map(({ table }) => table) : []), ...rules.map(lookupOf)]);
  const routes: NodeRoute[] = [];
  for (const family of families) {
    const listed = await listNodeRoutes(socket, family, { protocol: routeProtocol });
    routes.push(...listed.filter((route) => !(tables.has(route.table) && isOurRoute(route))));
  }
  return [...others, ...routes];
}
