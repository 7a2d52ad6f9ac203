import { type Address, type Family, familyOf } from '../../base/address.ts';
import type { Route } from '../../datapath/objects.ts';
import { address, u8, u32 } from '../netlink/field.ts';
import { flags, isKernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { readLink } from './link.ts';
import { message } from './message.ts';
import { routeProtocol } from './protocol.ts';
import { unlessRefused } from './refusal.ts';

/** linux/rtnetlink.h: struct rtmsg and RTA_*. */
const routeMessage = message(
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
    mark: [16, u32],
    gateway: [5, address],
    priority: [6, u32],
    table: [15, u32],
    outputIndex: [4, u32],
    /** The address to send from. */
    source: [7, address],
  },
);

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_F_LOOKUP_TABLE = 0x1000;
/** linux/rtnetlink.h, RTN_*: what the kernel does with packets for a destination. */
const routeTypes = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const;

/** linux/rtnetlink.h, RT_SCOPE_*. `nowhere` in a deletion: of whatever scope. */
const scopes = { universe: 0, link: 253, nowhere: 255 } as const;

/** Our routes in a table; none when there is no such table. Throws KernelError. */
// ip route show table 500007 protocol 230
export async function listRoutes(socket: NetlinkSocket, family: Family, table: number): Promise<readonly Route[]> {
  const body = encodeRouteListing(family, table);
  const replies = await unlessRefused(socket.dump({ type: RTM_GETROUTE, flags: 0, body }), 'ENOENT');
  const entries = (replies ?? []).map((reply) => routeMessage.decode(reply.body));
  // Kernels before 4.20 know no strict checking and list every table of everybody.
  const ours = entries.filter((entry) => entry.header.protocol === routeProtocol && entry.attributes.table === table);
  const names = await namesOf(socket, ours);
  return ours.map((entry) => routeOf(family, entry, names));
}

/**
 * Makes a route, or puts it in the place of the one with its table and metric, in one step: no packet finds none.
 * Throws KernelError.
 *
 * @param deviceIndex of the interface that `route.device` names
 */
// ip route replace default via 192.168.0.1 dev eth1 metric 100 table 500007 protocol 230
export async function replaceRoute(socket: NetlinkSocket, route: Route, deviceIndex?: number): Promise<void> {
  const body = encodeRoute(route, deviceIndex);
  await socket.request({ type: RTM_NEWROUTE, flags: flags.create | flags.replace, body });
}

/** Deletes a route of ours; that it is gone already is no error. Throws KernelError. */
// ip route del default via 192.168.0.1 dev eth1 metric 100 table 500007 protocol 230
export async function deleteRoute(socket: NetlinkSocket, route: Route, deviceIndex?: number): Promise<void> {
  const body = encodeRoute(route, deviceIndex, scopes.nowhere);
  await unlessRefused(socket.request({ type: RTM_DELROUTE, flags: 0, body }), 'ESRCH');
}

/** The way that a packet would take. */
export interface RouteLookup {
  readonly type: keyof typeof routeTypes;
  readonly deviceIndex?: number;
  readonly via?: Address;
  /** Absent for `unreachable` and `prohibit`: the kernel answers them with an error that names no table. */
  readonly table?: number;
  /** The address that the node itself would send from. */
  readonly source?: Address;
}

/** The way of a packet of this node to an address; `undefined` when there is none. Throws KernelError. */
// ip route get 203.0.113.5 mark 0x100007
export async function lookupRoute(
  socket: NetlinkSocket,
  destination: Address,
  fwmark?: number,
): Promise<RouteLookup | undefined> {
  try {
    const [reply] = await socket.request({ type: RTM_GETROUTE, flags: 0, body: encodeLookup(destination, fwmark) });
    return reply && decodeLookup(reply.body);
  } catch (error) {
    if (isKernelError(error, 'EHOSTUNREACH')) return { type: 'unreachable' };
    if (isKernelError(error, 'EACCES')) return { type: 'prohibit' };
    if (isKernelError(error, 'ENETUNREACH')) return undefined;
    throw error;
  }
}

/** The body of a question for our routes in one table. */
export function encodeRouteListing(family: Family, table: number): Buffer {
  return routeMessage.encode({ family: addressFamily(family), protocol: routeProtocol }, { table });
}

/** The body of a message that makes a route, or deletes it if `scope` says so. */
export function encodeRoute(route: Route, deviceIndex?: number, scope = scopeOf(route)): Buffer {
  return routeMessage.encode(
    { family: addressFamily(route.family), protocol: routeProtocol, scope, type: routeTypes[route.type] },
    { gateway: route.via, priority: route.metric, table: route.table, outputIndex: deviceIndex },
  );
}

/** IPv4 wants to be told that there is no next hop; IPv6 has no scopes. */
function scopeOf({ family, type, via }: Route): number {
  return family === 4 && type === 'unicast' && via === undefined ? scopes.link : scopes.universe;
}

/** The body of a question for the way to an address. */
export function encodeLookup(destination: Address, fwmark?: number): Buffer {
  const family = familyOf(destination);
  // Without the flag IPv4 says 254, main, for every table; IPv6 always says the right one, and refuses the flag.
  const header = family === 4 ? { destinationLength: 32, flags: RTM_F_LOOKUP_TABLE } : { destinationLength: 128 };
  return routeMessage.encode({ family: addressFamily(family), ...header }, { destination, mark: fwmark });
}

type Entry = ReturnType<typeof routeMessage.decode>;

/** The way that an answer holds. */
export function decodeLookup(body: Buffer): RouteLookup {
  const { header, attributes } = routeMessage.decode(body);
  const types = Object.keys(routeTypes) as RouteLookup['type'][];
  return {
    type: types.find((name) => routeTypes[name] === header.type) ?? 'unicast',
    ...(attributes.outputIndex !== undefined && { deviceIndex: attributes.outputIndex }),
    ...(attributes.gateway !== undefined && { via: attributes.gateway }),
    ...(attributes.table !== undefined && { table: attributes.table }),
    ...(attributes.source !== undefined && { source: attributes.source }),
  };
}

function routeOf(family: Family, { header, attributes }: Entry, names: ReadonlyMap<number, string>): Route {
  const { table = 0, priority: metric = 0, gateway: via, outputIndex } = attributes;
  // IPv6 says that unreachable routes go to `lo`.
  if (header.type !== routeTypes.unicast) return { kind: 'route', family, table, type: 'unreachable', metric };
  const device = outputIndex === undefined ? undefined : names.get(outputIndex);
  return {
    kind: 'route',
    family,
    table,
    type: 'unicast',
    ...(device !== undefined && { device }),
    ...(via !== undefined && { via }),
    metric,
  };
}

async function namesOf(socket: NetlinkSocket, entries: readonly Entry[]): Promise<ReadonlyMap<number, string>> {
  const names = new Map<number, string>();
  for (const index of new Set(entries.map((entry) => entry.attributes.outputIndex))) {
    const link = index === undefined ? undefined : await readLink(socket, index);
    if (link !== undefined) names.set(link.index, link.name);
  }
  return names;
}
