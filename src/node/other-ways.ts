import {
  type Address,
  addressBytes,
  addressFromBytes,
  contains,
  type Family,
  familyOf,
  nobody,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../base/address.ts';
import { portRangeParts } from '../base/port-range.ts';
import type { NodeState, SteeredAttachment } from '../datapath/attachment.ts';
import type { ResolvedExit, Way } from '../datapath/exit.ts';
import type { Host, RouteTaken, Sender } from '../datapath/host.ts';
import type { NodeRule } from '../datapath/objects.ts';
import {
  endsInError,
  isDecidedBy,
  mayAct,
  routesBefore,
  routeWords,
  rulesBefore,
  ruleWords,
  wholeOf,
} from '../datapath/other-ways.ts';
import { lookupOf } from '../datapath/tables.ts';
import { nextHopOf } from '../datapath/tunnel.ts';
import { decide } from '../policy/decision.ts';
import type { Match } from '../policy/match.ts';
import type { Packet } from '../policy/terms.ts';

/** Whose packets an exit takes. */
export interface Users {
  /** Where they come from, and the interface that they come in by; empty: that is not known. */
  readonly senders: readonly Sender[];
  /** Addresses in a range that their packets take the exit to: some at most, and none when they do not. */
  steered(exit: ResolvedExit, range: Prefix): readonly Address[];
}

/**
 * Ways of packets past our routes, though all of ours is there: rules of others come before ours, or routes of others
 * are in the tables of exits. The kernel is asked for the way of packets only where such rules could act on them. One
 * sentence each.
 */
export async function otherWays(
  host: Host,
  node: NodeState,
  exits: readonly ResolvedExit[],
  users: Users,
): Promise<string[]> {
  const rules = await host.listRules();
  const found: string[] = [];
  for (const exit of exits) {
    for (const way of exit.ways) {
      const one = { host, node, exit, way, users };
      found.push(...(await byRoutes(one)), ...(await byRules(one, rules)));
    }
  }
  return [...new Set(found)];
}

/** One family of an exit. */
interface Place {
  readonly host: Host;
  readonly node: NodeState;
  readonly exit: ResolvedExit;
  readonly way: Way;
  readonly users: Users;
}

async function byRoutes({ host, node, exit, way: { family }, users }: Place): Promise<string[]> {
  const routes = await host.listRoutes(family, node.routeTable + exit.id);
  return routesBefore(routes)
    .filter(({ destination }) => users.steered(exit, destination ?? wholeOf(family)).length > 0)
    .map((route) => routeWords(exit.name, route));
}

async function byRules(place: Place, all: readonly NodeRule[]): Promise<string[]> {
  const { host, node, exit, way, users } = place;
  const { family } = way;
  const mark = (node.fwmark | exit.id) >>> 0;
  const before = rulesBefore(all, node, { id: exit.id, family }).filter((rule) => mayAct(rule, { mark }));
  if (before.length === 0) return [];
  const destinations = await destinationsOf(place, before);
  const senders = users.senders.filter(({ address }) => familyOf(address) === family);
  for (const sender of users.senders.length > 0 ? senders : [undefined]) {
    for (const destination of destinations) {
      const answer = await host.wayOf({ destination, mark, ...(sender && { sender }) });
      if (isRight(place, answer)) continue;
      const packet = { mark, destination, ...(sender && { source: sender.address, input: sender.input }) };
      const acting = before.filter((rule) => mayAct(rule, packet));
      const rule = await decidingOne(place, acting, destination, answer);
      if (rule !== undefined) return [ruleWords(exit.name, destination, rule, answer, node)];
    }
  }
  return [];
}

/** The exit's own table decided, or another one that leads the same way. Addresses of the node itself are not steered. */
function isRight({ node, exit, way }: Place, answer: RouteTaken | undefined): boolean {
  if (answer?.table === undefined) return false;
  const via = exit.gateway === undefined ? way.via : nextHopOf(exit.gateway, way.family);
  const isSame = answer.type === 'unicast' && answer.device === exit.device && answer.via === via;
  return answer.table === node.routeTable + exit.id || answer.table === localTable || isSame;
}

const localTable = 255;
const mainTable = 254;

/** Destinations that rules may send elsewhere: their own, those of routes in their tables, and one of all others. */
async function destinationsOf({ host, exit, way: { family }, users }: Place, rules: readonly NodeRule[]) {
  const ranges = new Set([wholeOf(family), ...rules.flatMap(({ to }) => to ?? [])]);
  for (const table of new Set(rules.flatMap(ownTable))) {
    for (const { destination } of await host.listRoutes(family, table)) if (destination) ranges.add(destination);
  }
  return new Set([...ranges].flatMap((range) => users.steered(exit, range)));
}

/** The table of a rule. The node's main table is not read: it may have a million routes. */
function ownTable(rule: NodeRule): number[] {
  const table = lookupOf(rule);
  return table === undefined || table === mainTable ? [] : [table];
}

/** The rule that makes the answer. An error may also come from a route in the table that a rule leads to. */
async function decidingOne(
  { host, node, way: { family } }: Place,
  rules: readonly NodeRule[],
  destination: Address,
  answer: RouteTaken | undefined,
): Promise<NodeRule | undefined> {
  for (const rule of rules) {
    if (isDecidedBy(rule, answer, node)) return rule;
    if (answer?.table !== undefined) continue;
    for (const table of ownTable(rule)) {
      if (endsInError(await host.listRoutes(family, table), destination)) return rule;
    }
  }
  return undefined;
}

/** A pod. Its program says which packets go to its exits. */
export function podUsers(
  { matches, subnets, cluster = [] }: Pick<SteeredAttachment, 'matches' | 'subnets' | 'cluster'>,
  node: NodeState,
  senders: Users['senders'],
): Users {
  const ranges = [...cluster, ...(node.inside ?? [])];
  const leadsTo = (exit: ResolvedExit, packet: Packet) => {
    const decision = decide({ matches, subnets }, ranges, packet);
    return decision.by === 'match' && decision.match.exit === exit.name;
  };
  const steered = (exit: ResolvedExit, range: Prefix) => {
    const candidates = matches
      .filter((match) => match.exit === exit.name && match.family === familyOf(range))
      .flatMap((match) => commonAddresses(match, range).map((destination) => packetOf(match, destination)));
    return candidates
      .slice(0, most)
      .filter((packet) => leadsTo(exit, packet))
      .map(({ destination }) => destination);
  };
  return { senders, steered };
}

/** How many addresses are tried in a range: each is looked for in all of the program. */
const most = 16;

/** Pods of other nodes. Their packets to a gateway leave the cluster. */
export const gatewayUsers = ({ inside = [] }: NodeState): Users => ({
  senders: [],
  steered: (_, range) => addressesIn(range).filter((address) => !inside.some((own) => contains(own, address))),
});

/** Addresses that a match and a range have in common. */
const commonAddresses = ({ destinations }: Match, range: Prefix): Address[] =>
  destinations
    .flatMap((own) => (contains(own, range) ? [range] : contains(range, own) ? [own] : []))
    .slice(0, most)
    .flatMap(addressesIn);

/** An address that nobody has where the range holds it, else its first two: a network's own address may be special. */
function addressesIn(range: Prefix): Address[] {
  const family: Family = familyOf(range);
  if (contains(range, nobody[family])) return [nobody[family]];
  const first = prefixAddress(range);
  return prefixLength(range) === (family === 4 ? 32 : 128) ? [first] : [next(first), first];
}

/** The address behind the address of a network. */
function next(address: Address): Address {
  const bytes = Uint8Array.from(addressBytes(address));
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 1;
  return addressFromBytes(bytes);
}

/** A packet that a match is for by its ports. */
function packetOf({ ports: [range] = [] }: Match, destination: Address): Packet {
  if (range === undefined) return { destination };
  const { protocol, ports } = portRangeParts(range);
  return { destination, protocol, ...(ports && { port: ports.first }) };
}
