import type { Forwarding } from '../../datapath/objects.ts';
import { type KernelKind, noneListed } from '../kind.ts';
import { address, u8, u16, u32 } from '../netlink/field.ts';
import { flags, type NetlinkSocket } from '../netlink/socket.ts';
import { mac } from './mac.ts';
import { message } from './message.ts';
import { onDevice, onTunnel } from './on-device.ts';
import { unlessRefused } from './refusal.ts';

/** linux/neighbour.h: struct ndmsg and NDA_*. Forwarding entries are told as neighbours of the family AF_BRIDGE. */
const forwardingMessage = message(
  { family: u8, pad1: u8, pad2: u16, index: u32, state: u16, flags: u8, type: u8 },
  { mac: [2, mac], remote: [1, address] },
);

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const AF_BRIDGE = 7;
/** linux/neighbour.h, NTF_SELF: in the device's own table, not in that of a bridge above it. */
const self = 0x02;
/** linux/neighbour.h, NUD_*. `bridge` sets both for what it calls permanent. */
const permanent = 0x80;
const noarp = 0x40;

/**
 * Makes an entry, or changes where it leads; an entry that is there already is no error. The remote must be of the
 * family of the device's own underlay address. Throws KernelError.
 *
 * @param deviceIndex of the interface that `forwarding.device` names
 */
// bridge fdb replace 02:e6:ac:12:00:03 dev egress0 dst 172.18.0.3 self permanent
export async function setForwarding(socket: NetlinkSocket, forwarding: Forwarding, deviceIndex: number): Promise<void> {
  const body = encodeForwarding(forwarding, deviceIndex);
  await socket.request({ type: RTM_NEWNEIGH, flags: flags.create | flags.replace, body });
}

/** Deletes an entry; that it is gone already, or leads elsewhere, or its device is gone, is no error. Throws KernelError. */
// bridge fdb del 02:e6:ac:12:00:03 dev egress0 dst 172.18.0.3 self
export async function deleteForwarding(
  socket: NetlinkSocket,
  forwarding: Forwarding,
  deviceIndex: number,
): Promise<void> {
  const body = encodeForwarding(forwarding, deviceIndex);
  await unlessRefused(socket.request({ type: RTM_DELNEIGH, flags: 0, body }), 'ENOENT', 'ENODEV');
}

/** The permanent entries of a tunnel device, of whoever made them; none when the device is gone. Throws KernelError. */
// bridge fdb show dev egress0
export async function listForwardings(
  socket: NetlinkSocket,
  device: string,
  deviceIndex: number,
): Promise<readonly Forwarding[]> {
  const body = encodeForwardingListing(deviceIndex);
  const replies = await unlessRefused(socket.dump({ type: RTM_GETNEIGH, flags: 0, body }), 'ENODEV');
  return (replies ?? []).flatMap((reply) => decodeForwarding(reply.body, device, deviceIndex) ?? []);
}

/** The body of a question for the entries of one device. */
export const encodeForwardingListing = (deviceIndex: number): Buffer =>
  forwardingMessage.encode({ family: AF_BRIDGE, index: deviceIndex });

/** The body of a message that makes or deletes an entry. */
export function encodeForwarding({ mac, remote }: Forwarding, deviceIndex: number): Buffer {
  const header = { family: AF_BRIDGE, index: deviceIndex, state: permanent | noarp, flags: self };
  return forwardingMessage.encode(header, { mac, remote });
}

/** The entry that a message of a listing holds; `undefined` for one of another device, a learned one, or without remote. */
export function decodeForwarding(body: Buffer, device: string, deviceIndex: number): Forwarding | undefined {
  const { header, attributes } = forwardingMessage.decode(body);
  const { mac, remote } = attributes;
  const isOurKind = (header.state & permanent) !== 0 && (header.flags & self) !== 0;
  if (header.index !== deviceIndex || !isOurKind || mac === undefined || remote === undefined) return undefined;
  return { kind: 'forwarding', device, mac, remote };
}

/** Permanent forwarding entries are looked for on our tunnel's device, whoever made them, and go with it. */
export const forwardingKind: KernelKind<Forwarding> = {
  ...onDevice(setForwarding, deleteForwarding),
  observe: onTunnel(listForwardings),
  list: noneListed,
};
