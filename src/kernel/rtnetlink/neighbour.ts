import { type Address, familyOf } from '../../base/address.ts';
import type { Mac, Neighbour } from '../../datapath/objects.ts';
import { type KernelKind, noneListed } from '../kind.ts';
import { address, u8, u16, u32 } from '../netlink/field.ts';
import { flags, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { mac } from './mac.ts';
import { message } from './message.ts';
import { onDevice, onTunnel } from './on-device.ts';
import { unlessRefused } from './refusal.ts';

/** linux/neighbour.h: struct ndmsg and NDA_*. */
const neighbourMessage = message(
  { family: u8, pad1: u8, pad2: u16, index: u32, state: u16, flags: u8, type: u8 },
  { destination: [1, address], mac: [2, mac], deviceIndex: [8, u32] },
);

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
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

/** How well the kernel knows a neighbour: `failed` and `incomplete` next hops do not answer. */
export interface ObservedNeighbour {
  readonly state: keyof typeof states;
  /** Absent while the kernel does not know it. */
  readonly mac?: Mac;
}

/** The kernel's state of a next hop; `undefined` when it has not asked for it of late. Throws KernelError. */
// ip neigh get 192.168.0.1 dev eth1
export async function readNeighbour(
  socket: NetlinkSocket,
  deviceIndex: number,
  neighbour: Address,
): Promise<ObservedNeighbour | undefined> {
  const body = encodeNeighbourQuery(deviceIndex, neighbour);
  const replies = await unlessRefused(socket.request({ type: RTM_GETNEIGH, flags: 0, body }), 'ENOENT', 'ENODEV');
  return replies?.[0] && decodeNeighbour(replies[0].body);
}

/**
 * Makes a permanent neighbour, or puts it in place of the address's entry. Throws KernelError.
 *
 * @param deviceIndex of the interface that `neighbour.device` names
 */
// ip neigh replace 172.18.0.3 lladdr 02:e6:ac:12:00:03 dev egress0 nud permanent
export async function setNeighbour(socket: NetlinkSocket, neighbour: Neighbour, deviceIndex: number): Promise<void> {
  const body = encodeNeighbour(neighbour, deviceIndex);
  await socket.request({ type: RTM_NEWNEIGH, flags: flags.create | flags.replace, body });
}

/** Deletes the entry of a neighbour. An entry that is gone already, or its device, is no error. Throws KernelError. */
// ip neigh del 172.18.0.3 dev egress0
export async function deleteNeighbour(socket: NetlinkSocket, neighbour: Neighbour, deviceIndex: number): Promise<void> {
  const body = encodeNeighbourQuery(deviceIndex, neighbour.address);
  // ENXIO: the device lost IPv6, and its neighbours with it.
  await unlessRefused(socket.request({ type: RTM_DELNEIGH, flags: 0, body }), 'ENOENT', 'ENODEV', 'ENXIO');
}

/** The permanent neighbours on an interface, of whoever made them; none when it is gone. Throws KernelError. */
// ip neigh show dev egress0 nud permanent
export async function listNeighbours(
  socket: NetlinkSocket,
  device: string,
  deviceIndex: number,
): Promise<readonly Neighbour[]> {
  const body = encodeNeighbourListing(deviceIndex);
  const replies = await unlessRefused(socket.dump({ type: RTM_GETNEIGH, flags: 0, body }), 'ENODEV');
  return (replies ?? []).flatMap((reply) => decodePermanent(reply.body, device, deviceIndex) ?? []);
}

/** The body of a message that makes a permanent neighbour. */
export function encodeNeighbour({ address, mac }: Neighbour, deviceIndex: number): Buffer {
  const header = { family: addressFamily(familyOf(address)), index: deviceIndex, state: states.permanent };
  return neighbourMessage.encode(header, { destination: address, mac });
}

/** The body of a question for the neighbours on one interface, of both families. */
export const encodeNeighbourListing = (deviceIndex: number): Buffer => neighbourMessage.encode({}, { deviceIndex });

/** The neighbour that a message of a listing holds; `undefined` when it is not permanent, or on another interface. */
export function decodePermanent(body: Buffer, device: string, deviceIndex: number): Neighbour | undefined {
  const { header, attributes } = neighbourMessage.decode(body);
  const { destination, mac } = attributes;
  // Kernels before 4.20 know no strict checking, and may list the neighbours on every interface.
  if (header.index !== deviceIndex || header.state !== states.permanent) return undefined;
  return destination && mac ? { kind: 'neighbour', device, address: destination, mac } : undefined;
}

/** The body of a question for one neighbour. */
export function encodeNeighbourQuery(deviceIndex: number, neighbour: Address): Buffer {
  const header = { family: addressFamily(familyOf(neighbour)), index: deviceIndex };
  return neighbourMessage.encode(header, { destination: neighbour });
}

/** The neighbour that an answer holds. */
export function decodeNeighbour(body: Buffer): ObservedNeighbour {
  const { header, attributes } = neighbourMessage.decode(body);
  const names = Object.keys(states) as ObservedNeighbour['state'][];
  const { mac } = attributes;
  return { state: names.find((name) => states[name] === header.state) ?? 'none', ...(mac && { mac }) };
}

/** Permanent neighbours are looked for on our tunnel's device, whoever made them, and go with it. */
export const neighbourKind: KernelKind<Neighbour> = {
  ...onDevice(setNeighbour, deleteNeighbour),
  observe: onTunnel(listNeighbours),
  list: noneListed,
};
