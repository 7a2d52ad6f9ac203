import { type Address, familyOf } from '../../base/address.ts';
import { address, u8, u16, u32 } from '../netlink/field.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { message } from './message.ts';
import { unlessRefused } from './refusal.ts';

/** linux/neighbour.h: struct ndmsg and NDA_*. */
const neighbourMessage = message(
  { family: u8, pad1: u8, pad2: u16, index: u32, state: u16, flags: u8, type: u8 },
  { destination: [1, address] },
);

const RTM_GETNEIGH = 30;
/** linux/neighbour.h, NUD_*. */
const states = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;

/** How well the kernel knows a neighbour: `failed` and `incomplete` are those that do not answer. */
export interface Neighbour {
  readonly state: keyof typeof states;
}

/** What the kernel knows of a next hop; `undefined` when it has not asked for it of late. Throws KernelError. */
// ip neigh get 192.168.0.1 dev eth1
export async function readNeighbour(
  socket: NetlinkSocket,
  deviceIndex: number,
  neighbour: Address,
): Promise<Neighbour | undefined> {
  const body = encodeNeighbourQuery(deviceIndex, neighbour);
  const replies = await unlessRefused(socket.request({ type: RTM_GETNEIGH, flags: 0, body }), 'ENOENT', 'ENODEV');
  return replies?.[0] && decodeNeighbour(replies[0].body);
}

/** The body of a question for one neighbour. */
export function encodeNeighbourQuery(deviceIndex: number, neighbour: Address): Buffer {
  const header = { family: addressFamily(familyOf(neighbour)), index: deviceIndex };
  return neighbourMessage.encode(header, { destination: neighbour });
}

/** The neighbour that an answer holds. */
export function decodeNeighbour(body: Buffer): Neighbour {
  const { state } = neighbourMessage.decode(body).header;
  const names = Object.keys(states) as Neighbour['state'][];
  return { state: names.find((name) => states[name] === state) ?? 'none' };
}
