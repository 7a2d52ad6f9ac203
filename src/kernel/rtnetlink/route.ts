import {
  type Address,
  addressBytes,
  addressFromBytes,
  type Family,
  families,
  familyOf,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../base/address.ts';
import { EgressError } from '../../base/errors.ts';
import { type NodeRoute, ofKind, type Route } from '../../datapath/objects.ts';
import { isOurRoute } from '../../datapath/ours.ts';
import { type FamilyTable, lookupOf, tablesOf, tablesOfNode } from '../../datapath/tables.ts';
import type { IndexOf, KernelKind } from '../kind.ts';
import { address, type Field, u8, u16, u32 } from '../netlink/field.ts';
import { flags, isKernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { readLinkNames } from './link.ts';
import { message } from './message.ts';
import { routeProtocol } from './protocol.ts';
import { unlessRefused } from './refusal.ts';

/** linux/rtnetlink.h, struct rtvia: the next hop of a route of the other family, with its family before it. */
const foreignHop: Field<Address> = {
  encode: (value) => Buffer.concat([u16.encode(addressFamily(familyOf(value))), addressBytes(value)]),
  decode: (bytes) => addressFromBytes(bytes.subarray(2)),
};

/** linux/rtnetlink.h: struct rtnexthop and its attributes. */
const hopMessage = message(
  { length: u16, flags: u8, hops: u8, outputIndex: u32 },
  { gateway: [5, address], foreignGateway: [18, foreignHop] },
);

type Hop = ReturnType<typeof hopMessage.decode>;

/** Of struct rtnexthop. */
const hopLength = 8;

/** A list of next hops (RTNH_NEXT), each with its length before it. */
const hopList: Field<readonly Hop[]> = {
  encode: (hops) => Buffer.concat(hops.map(({ header, attributes }) => hopMessage.encode(header, attributes))),
  decode: (bytes) => {
    const hops: Hop[] = [];
    for (let at = 0, length = 0; at + hopLength <= bytes.length; at += (length + 3) & ~3) {
      length = Math.max(u16.decode(bytes.subarray(at)), hopLength);
      hops.push(hopMessage.decode(bytes.subarray(at, at + length)));
    }
    return hops;
  },
};

/** linux/rtnetlink.h: struct rtmsg and RTA_*. */
export const routeMessage = message(
  {
    family: u8,
    destinationLength: u8,
    sourceLength: u8,
    tos: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    type: u8,
    flags: u32,
  },
  {
    destination: [1, address],
    /** Of a question: where the packet came from, and in by. */
    from: [2, address],
    inputIndex: [3, u32],
    mark: [16, u32],
    gateway: [5, address],
    /** RTA_VIA: the next hop when it is of the other family. */
    foreignGateway: [18, foreignHop],
    priority: [6, u32],
    table: [15, u32],
    outputIndex: [4, u32],
    /** The address to send from. */
    source: [7, address],
    hops: [9, hopList],
  },
);

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
/** Cached routes for single destinations of older kernels (linux/rtnetlink.h). */
const RTM_F_CLONED = 0x200;
export const RTNH_F_ONLINK = 4;
/** linux/rtnetlink.h, RTN_*: the kernel's treatment of packets for a destination. */
export const routeTypes = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;

/** linux/rtnetlink.h, RT_SCOPE_*. `nowhere` in a deletion: of whatever scope. */
const scopes = { universe: 0, link: 253, nowhere: 255 } as const;

/** Limits the listing to routes of a table, or of a protocol. */
export interface RouteChoice {
  readonly table?: number;
  readonly protocol?: number;
}

/** Routes with our protocol in a table; none when there is no such table. Throws KernelError. */
// ip route show table 500007 protocol 230
export const listRoutes = (socket: NetlinkSocket, family: Family, table: number): Promise<readonly NodeRoute[]> =>
  listNodeRoutes(socket, family, { table, protocol: routeProtocol });

/** Routes of whomever; none when there is no such table. Throws KernelError. */
// ip route show table 500007; ip route show table all protocol 230
export async function listNodeRoutes(
  socket: NetlinkSocket,
  family: Family,
  choice: RouteChoice,
): Promise<readonly NodeRoute[]> {
  const body = encodeRouteListing(family, choice);
  const replies = await unlessRefused(socket.dump({ type: RTM_GETROUTE, flags: 0, body }), 'ENOENT');
  const entries = (replies ?? []).map((reply) => routeMessage.decode(reply.body));
  // Kernels before 4.20 know no strict checking and list every table of everybody.
  const { table, protocol } = choice;
  const chosen = entries.filter(
    ({ header, attributes }) =>
      (header.flags & RTM_F_CLONED) === 0 &&
      (table === undefined || attributes.table === table) &&
      (protocol === undefined || header.protocol === protocol),
  );
  const names = await readLinkNames(
    socket,
    chosen.map(({ attributes }) => attributes.outputIndex),
  );
  return chosen.map((entry) => routeOf(family, entry, names));
}

/**
 * Makes a route, or puts it in the place of the one with its table, destination and metric, in one step: no packet finds none.
 * Throws KernelError.
 *
 * @param deviceIndex of the interface that `route.device` names
 */
// ip route replace default via 192.168.0.1 dev eth1 metric 100 table 500007 protocol 230
export async function replaceRoute(socket: NetlinkSocket, route: Route, deviceIndex?: number): Promise<void> {
  const body = encodeRoute(route, deviceIndex);
  await socket.request({ type: RTM_NEWROUTE, flags: flags.create | flags.replace, body });
}

/** How IPv4 and IPv6 refuse a next hop that they do not reach by the interface alone. */
const unknownHop = ['ENETUNREACH', 'EHOSTUNREACH'];

/** The same by the interface's name. Throws `exit-next-hop` when the next hop is not behind it. */
async function setUp(socket: NetlinkSocket, route: Route, indexOf: IndexOf): Promise<void> {
  try {
    await replaceRoute(socket, route, await deviceIndexOf(route, indexOf));
  } catch (error) {
    if (route.via === undefined || !isKernelError(error, ...unknownHop)) throw error;
    throw new EgressError('exit-next-hop', `${route.via} is in no network of ${route.device}`, { cause: error });
  }
}

/** Deletes a route of ours; that it is gone already, or its interface, is no error. Throws KernelError. */
// ip route del default via 192.168.0.1 dev eth1 metric 100 table 500007 protocol 230
export async function deleteRoute(socket: NetlinkSocket, route: Route, deviceIndex?: number): Promise<void> {
  const body = encodeRoute(route, deviceIndex, scopes.nowhere);
  await unlessRefused(socket.request({ type: RTM_DELROUTE, flags: 0, body }), 'ESRCH');
}

/** The body of a question for routes. */
export const encodeRouteListing = (family: Family, { table, protocol = 0 }: RouteChoice): Buffer =>
  routeMessage.encode({ family: addressFamily(family), protocol }, { table });

/** The body of a message that makes a route, or deletes it if `scope` says so. */
export function encodeRoute(route: Route, deviceIndex?: number, scope = scopeOf(route)): Buffer {
  const { family, type, destination, via, metric, table } = route;
  return routeMessage.encode(
    {
      family: addressFamily(family),
      destinationLength: destination === undefined ? 0 : prefixLength(destination),
      protocol: routeProtocol,
      scope,
      type: routeTypes[type],
      flags: route.onlink ? RTNH_F_ONLINK : 0,
    },
    {
      destination: destination && prefixAddress(destination),
      ...(via !== undefined && (familyOf(via) === family ? { gateway: via } : { foreignGateway: via })),
      priority: metric,
      table,
      outputIndex: deviceIndex,
    },
  );
}

/** IPv4 wants to be told that there is no next hop; IPv6 has no scopes. */
function scopeOf({ family, type, via }: Route): number {
  return family === 4 && type === 'unicast' && via === undefined ? scopes.link : scopes.universe;
}

/** A route as a message holds it. */
export type Entry = ReturnType<typeof routeMessage.decode>;

function routeOf(family: Family, { header, attributes }: Entry, names: ReadonlyMap<number, string>): NodeRoute {
  const { table = 0, priority: metric = 0, outputIndex, hops } = attributes;
  const destination = destinationOf(attributes.destination, header.destinationLength);
  const what = {
    kind: 'route',
    ...{ family, table },
    ...(header.protocol !== routeProtocol && { protocol: header.protocol }),
    ...(destination !== undefined && { destination }),
    ...(hops !== undefined && { several: true as const }),
    ...((header.tos | header.sourceLength) !== 0 && { narrower: true as const }),
  } as const;
  // IPv6 says that unreachable routes go to `lo`.
  if (header.type !== routeTypes.unicast) return { ...what, type: typeName(header.type), metric };
  const device = outputIndex === undefined ? undefined : names.get(outputIndex);
  const via = hopOf(attributes);
  return {
    ...what,
    type: 'unicast',
    ...(device !== undefined && { device }),
    ...(via !== undefined && { via }),
    ...(header.flags & RTNH_F_ONLINK && { onlink: true }),
    metric,
  };
}

export const typeName = (type: number): keyof typeof routeTypes =>
  (Object.keys(routeTypes) as (keyof typeof routeTypes)[]).find((name) => routeTypes[name] === type) ?? 'unicast';

function destinationOf(address: Address | undefined, length: number): Prefix | undefined {
  return address === undefined || length === 0 ? undefined : `${address}/${length}`;
}

/** The next hop, of whichever family. */
export const hopOf = ({ gateway, foreignGateway }: Entry['attributes']): Address | undefined =>
  gateway ?? foreignGateway;

/** None for a route by no interface, or by one that is gone. */
async function deviceIndexOf({ device }: Route, indexOf: IndexOf): Promise<number | undefined> {
  return device === undefined ? undefined : await indexOf(device);
}

async function takeDown(socket: NetlinkSocket, route: Route, indexOf: IndexOf): Promise<void> {
  const index = await deviceIndexOf(route, indexOf);
  if (route.device === undefined || index !== undefined) await deleteRoute(socket, route, index);
}

/** Routes of tables that we made, and those of others that have our protocol number. */
async function listOurs(socket: NetlinkSocket, tables: readonly FamilyTable[]) {
  const numbered: NodeRoute[] = [];
  for (const [table, group] of Map.groupBy(tables, ({ table }) => table)) {
    for (const family of new Set(group.flatMap((each) => each.families)))
      numbered.push(...(await listRoutes(socket, family, table)));
  }
  return { ours: numbered.filter(isOurRoute), others: numbered.filter((route) => !isOurRoute(route)) };
}

const ledTo = (table: number | undefined): FamilyTable[] => (table === undefined ? [] : [{ table, families }]);

/** Routes are looked for in the tables of exits, and where rules lead: an ADD may have been killed between the two. */
export const routeKind: KernelKind<Route> = {
  setUp,
  takeDown,
  observe: async ({ socket, node, needs }) => (await listOurs(socket, tablesOf(node, needs))).ours,
  list: ({ socket, node, found }) =>
    listOurs(socket, [
      ...ofKind(found, 'rule').flatMap((rule) => ledTo(lookupOf(rule))),
      ...(node ? tablesOfNode(node) : []),
    ]),
};
