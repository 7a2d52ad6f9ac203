import { type Address, familyOf } from '../../base/address.ts';
import { isKernelError, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { hopOf, RTM_GETROUTE, routeMessage, typeName } from './route.ts';

const RTM_F_LOOKUP_TABLE = 0x1000;

/** The way that a packet would take. */
export interface RouteLookup {
  readonly type: ReturnType<typeof typeName>;
  readonly deviceIndex?: number;
  readonly via?: Address;
  /** Absent for `unreachable`, `prohibit` and `blackhole`: the kernel answers them with an error that names no table. */
  readonly table?: number;
  /** The address that the node itself would send from. */
  readonly source?: Address;
}

/** Where a packet comes from that is not the node's own. */
export interface Sender {
  readonly source: Address;
  readonly inputIndex: number;
}

/**
 * The way of a packet to an address, of this node or of a sender; `undefined` when there is none, or the node would not
 * take the packet from the sender. Throws KernelError.
 */
// ip route get 203.0.113.5 mark 0x100007
// ip route get 203.0.113.5 from 10.0.0.7 iif cni0 mark 0x100007
export async function lookupRoute(
  socket: NetlinkSocket,
  destination: Address,
  fwmark?: number,
  sender?: Sender,
): Promise<RouteLookup | undefined> {
  try {
    const body = encodeLookup(destination, fwmark, sender);
    const [reply] = await socket.request({ type: RTM_GETROUTE, flags: 0, body });
    return reply && decodeLookup(reply.body);
  } catch (error) {
    if (isKernelError(error, 'EHOSTUNREACH')) return { type: 'unreachable' };
    if (isKernelError(error, 'EACCES')) return { type: 'prohibit' };
    if (isKernelError(error, 'EINVAL')) return { type: 'blackhole' };
    if (isKernelError(error, 'ENETUNREACH', 'EXDEV')) return undefined;
    throw error;
  }
}

/** The body of a question for the way to an address. */
export function encodeLookup(destination: Address, fwmark?: number, sender?: Sender): Buffer {
  const family = familyOf(destination);
  // Without the flag IPv4 says 254, main, for every table; IPv6 always says the right one, and refuses the flag.
  const header = family === 4 ? { destinationLength: 32, flags: RTM_F_LOOKUP_TABLE } : { destinationLength: 128 };
  return routeMessage.encode(
    { family: addressFamily(family), ...header, ...(sender && { sourceLength: header.destinationLength }) },
    { destination, from: sender?.source, inputIndex: sender?.inputIndex, mark: fwmark },
  );
}

/** The way that an answer holds. */
export function decodeLookup(body: Buffer): RouteLookup {
  const { header, attributes } = routeMessage.decode(body);
  const via = hopOf(attributes);
  return {
    type: typeName(header.type),
    ...(attributes.outputIndex !== undefined && { deviceIndex: attributes.outputIndex }),
    ...(via !== undefined && { via }),
    ...(attributes.table !== undefined && { table: attributes.table }),
    ...(attributes.source !== undefined && { source: attributes.source }),
  };
}
