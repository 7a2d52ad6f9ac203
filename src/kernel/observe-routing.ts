import { families } from '../base/address.ts';
import type { NodeState } from '../datapath/attachment.ts';
import * as layout from '../datapath/layout.ts';
import type { Needs } from '../datapath/needs.ts';
import type { NodeRoute, NodeRule, PolicyRule, Route } from '../datapath/objects.ts';
import { isOurRoute, ourRules } from '../datapath/ours.ts';
import { tunnelRules } from '../datapath/tunnel.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { routeProtocol } from './rtnetlink/protocol.ts';
import { listNodeRoutes, listRoutes } from './rtnetlink/route.ts';
import { listRules } from './rtnetlink/rule.ts';

/** Rules and routes of the exits, and the rules around them, in the families that the exits have. */
export async function observeRouting(
  socket: NetlinkSocket,
  node: NodeState,
  { exits, tunnel, gateway }: Needs,
): Promise<(PolicyRule | Route)[]> {
  const tables = [...exits.map(({ id }) => id), ...(gateway ? [layout.replyId] : [])].map((id) => node.routeTable + id);
  // Who looks for a gateway looks for the whole node: a family that nothing uses any more shows, too.
  const inUse = new Set(gateway ? families : exits.flatMap(({ ways }) => ways.map(({ family }) => family)));
  const isOfExits = ({ family, action }: PolicyRule) =>
    inUse.has(family) && (typeof action !== 'object' || !('lookup' in action) || tables.includes(action.lookup));
  const { rules } = await listOurRules(socket, node);
  const ofTunnel = tunnelRules(rules);
  const theirs = rules.filter((rule) => (ofTunnel.includes(rule) ? tunnel !== undefined : isOfExits(rule)));
  return [...theirs, ...(await listOurRoutes(socket, tables)).routes];
}

/** Policy rules that we made, and those of others that have our protocol number. */
export async function listOurRules(
  socket: NetlinkSocket,
  numbers: layout.NodeNumbers | undefined,
): Promise<{ readonly rules: readonly PolicyRule[]; readonly others: readonly NodeRule[] }> {
  const numbered: NodeRule[] = [];
  for (const family of families) {
    numbered.push(...(await listRules(socket, family)).filter(({ protocol }) => protocol === undefined));
  }
  return ourRules(numbered, numbers);
}

/** Routes of tables that we made, and those of others that have our protocol number. */
export async function listOurRoutes(
  socket: NetlinkSocket,
  tables: readonly number[],
): Promise<{ readonly routes: readonly Route[]; readonly others: readonly NodeRoute[] }> {
  const numbered: NodeRoute[] = [];
  for (const table of new Set(tables)) {
    for (const family of families) numbered.push(...(await listRoutes(socket, family, table)));
  }
  return {
    routes: numbered.filter(isOurRoute),
    others: numbered.filter((route) => !isOurRoute(route)),
  };
}

/** Rules and routes with our protocol number that others made, in whichever table. */
export async function listNumbered(
  socket: NetlinkSocket,
  node: NodeState | undefined,
): Promise<readonly (NodeRule | NodeRoute)[]> {
  const { rules, others } = await listOurRules(socket, node);
  const tables = new Set([...tablesOf(node), ...lookupsOf(rules)]);
  const routes: NodeRoute[] = [];
  for (const family of families) {
    const listed = await listNodeRoutes(socket, family, { protocol: routeProtocol });
    routes.push(...listed.filter((route) => !(tables.has(route.table) && isOurRoute(route))));
  }
  return [...others, ...routes];
}

/** The tables that rules lead to. */
export const lookupsOf = (rules: readonly PolicyRule[]): number[] =>
  rules.flatMap(({ action }) => (typeof action === 'object' && 'lookup' in action ? [action.lookup] : []));

/** Where routes of ours may be that have no rule: an ADD that was killed between the two. */
export const tablesOf = (node: NodeState | undefined): number[] =>
  node === undefined
    ? []
    : [...(node.gateway ? [layout.replyId] : []), ...node.exits.map(({ id }) => id)].map((id) => node.routeTable + id);
