import { type Address, type Family, nobody } from '../../base/address.ts';
import { isKernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { unlessRefused } from './refusal.ts';
import { type Entry, hopOf, RTM_GETROUTE, RTNH_F_ONLINK, routeMessage, routeTypes } from './route.ts';

/** Linux 4.13: the answer is the route itself, not its result for the packet. */
const RTM_F_FIB_MATCH = 0x2000;
/** linux/rtnetlink.h, RTNH_F_*: of a route's only next hop they are among its own flags. */
const RTNH_F_DEAD = 1;
const RTNH_F_LINKDOWN = 16;
const mainTable = 254;

/** The way of packets without a better route. */
export interface DefaultRoute {
  readonly deviceIndex: number;
  /** Absent: everything is on the link. */
  readonly via?: Address;
  readonly onlink?: true;
}

/**
 * The default route of the main table, whoever made it: the one with the lowest metric that leads to an interface, and
 * of several next hops the first. A hop that is dead, or whose link is, comes after all living ones. Among the living,
 * one by the `preferred` interface comes first. `undefined` when there is none. Throws KernelError.
 */
// ip route show default
export async function defaultRoute(
  socket: NetlinkSocket,
  family: Family,
  preferred?: number,
): Promise<DefaultRoute | undefined> {
  const used = (await routeToNobody(socket, family))?.flatMap(hopsOf);
  const isEnough = used?.length === 0 || used?.some(({ isDead }) => !isDead);
  const hops = used !== undefined && isEnough ? used : await listHops(socket, family);
  const living = hops.filter(({ isDead }) => !isDead);
  const best = living.find(({ hop }) => hop.deviceIndex === preferred) ?? living[0] ?? hops[0];
  return best?.hop;
}

interface NextHop {
  readonly isDead: boolean;
  readonly hop: DefaultRoute;
}

const listHops = async (socket: NetlinkSocket, family: Family): Promise<readonly NextHop[]> =>
  (await listDefaults(socket, family)).sort((a, b) => metricOf(a) - metricOf(b)).flatMap(hopsOf);

/** The next hops of a route in their order. */
function hopsOf({ header, attributes }: Entry): NextHop[] {
  const own = { flags: header.flags, outputIndex: attributes.outputIndex, via: hopOf(attributes) };
  const listed = attributes.hops?.map((hop) => ({
    flags: hop.header.flags,
    outputIndex: hop.header.outputIndex,
    via: hopOf(hop.attributes),
  }));
  return (listed ?? [own]).flatMap(({ flags, outputIndex, via }) => {
    if (outputIndex === undefined) return [];
    const onlink = (flags & RTNH_F_ONLINK) !== 0 && { onlink: true as const };
    const hop = { deviceIndex: outputIndex, ...(via !== undefined && { via, ...onlink }) };
    return [{ isDead: (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) !== 0, hop }];
  });
}

/**
 * The default route by which the node reaches an address that nobody has, or none. This is one question, whatever the
 * number of routes. `undefined` when the answer tells nothing of the main table, as with a rule or an unreachable route
 * before it.
 */
// ip route get fibmatch 240.0.0.1
async function routeToNobody(socket: NetlinkSocket, family: Family): Promise<readonly Entry[] | undefined> {
  const header = { family: addressFamily(family), destinationLength: family === 4 ? 32 : 128, flags: RTM_F_FIB_MATCH };
  const body = routeMessage.encode(header, { destination: nobody[family] });
  try {
    const replies = await socket.request({ type: RTM_GETROUTE, flags: 0, body });
    const entries = replies.map((reply) => routeMessage.decode(reply.body));
    return entries.every(isDefault) ? entries : undefined;
  } catch (error) {
    if (isKernelError(error, 'ENETUNREACH')) return [];
    if (isKernelError(error)) return undefined;
    throw error;
  }
}

async function listDefaults(socket: NetlinkSocket, family: Family): Promise<Entry[]> {
  const body = routeMessage.encode({ family: addressFamily(family) }, { table: mainTable });
  const replies = await unlessRefused(socket.dump({ type: RTM_GETROUTE, flags: 0, body }), 'ENOENT');
  return (replies ?? []).map((reply) => routeMessage.decode(reply.body)).filter(isDefault);
}

/** Not those for the packets of some sources only. */
function isDefault({ header, attributes }: Entry): boolean {
  const { table, outputIndex, hops } = attributes;
  const leadsOn = header.type === routeTypes.unicast && (outputIndex ?? hops) !== undefined;
  return leadsOn && table === mainTable && header.destinationLength === 0 && header.sourceLength === 0;
}

const metricOf = ({ attributes }: Entry): number => attributes.priority ?? 0;
