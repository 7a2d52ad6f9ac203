import type { NodeState } from '../datapath/attachment.ts';
import * as layout from '../datapath/layout.ts';
import type { Other } from '../datapath/objects.ts';
import { isOurTable } from '../datapath/ours.ts';
import type { OurState } from '../datapath/release.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { InTable, Table } from '../nftables/object.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { listElements, listSets, readTable } from './nftables/read.ts';
import { chainOf, listExitElements, readChains } from './observe.ts';
import { listKept } from './observe-kept.ts';
import { elementOf, listSet } from './observe-pods.ts';
import { listNumbered, listOurRoutes, listOurRules, lookupsOf, tablesOf } from './observe-routing.ts';
import { findOurAddresses, listOurAddresses } from './rtnetlink/address.ts';
import { readTunnel } from './rtnetlink/tunnel.ts';

/** Everything of ours in nftables and routing, by the node's record or without one. */
export async function observeOurs(
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  node: NodeState | undefined,
): Promise<OurState> {
  const { rules, others } = await listOurRules(route, node);
  const routes = await listOurRoutes(route, [...lookupsOf(rules), ...tablesOf(node)]);
  const tables = await observeTables(netfilter);
  const tunnel = await readTunnel(route, tunnelDevice);
  const held = node?.addresses ? await listOurAddresses(route, node.addresses) : await findOurAddresses(route);
  return {
    ...tables,
    kept: await listKept(netfilter, route, tables.sets),
    rules,
    ...(tunnel && { tunnel }),
    addresses: held.filter(({ device }) => device !== tunnelDevice),
    routes: routes.routes,
    others: [...tables.others, ...others, ...routes.others],
  };
}

/** What of ours is in both tables. One with our name that holds nothing of ours is somebody else's. */
async function observeTables(socket: NetlinkSocket) {
  const inet = await readOurTable(socket, {});
  const sent = await readOurTable(socket, layout.sentTable);
  const elements = sent.isOurs ? await listElements(socket, layout.sentSet) : [];
  return {
    table: inet.isOurs,
    chains: inet.chains,
    sets: inet.sets,
    ...(sent.isOurs && { sent: sent.chains.map(chainOf) }),
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
  const tables = [await readOurTable(socket, {}), await readOurTable(socket, layout.sentTable)];
  return tables.flatMap(({ found, isOurs }) => (found && !isOurs ? [found] : []));
}

/** The same, and what else carries our number and others made. */
export const listOthers = async (
  netfilter: NetlinkSocket,
  route: NetlinkSocket,
  node: NodeState | undefined,
): Promise<readonly Other[]> => [...(await listOthersTables(netfilter)), ...(await listNumbered(route, node))];
