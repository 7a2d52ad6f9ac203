import { familyOf } from '../../base/address.ts';
import { EgressError } from '../../base/errors.ts';
import type { TunnelLink } from '../../datapath/objects.ts';
import { isSameTunnel, tunnelDevice } from '../../datapath/tunnel.ts';
import type { KernelKind } from '../kind.ts';
import { address, be16, cString, type Field, flag, nested, raw, u8, u16, u32 } from '../netlink/field.ts';
import { flags, type NetlinkSocket } from '../netlink/socket.ts';
import { decode, encode } from '../netlink/wire.ts';
import { encodeLinkQuery, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK } from './link.ts';
import { mac } from './mac.ts';
import { message } from './message.ts';
import { routeProtocol } from './protocol.ts';
import { unlessRefused } from './refusal.ts';

/**
 * The group of a device of ours, the same number as on our routes. By it we know our own, never by the name. An alias
 * would speak better, but the kernel takes none while it makes a device.
 */
const deviceGroup = routeProtocol;

/** A string that is sent without a NUL at its end, as ip sends it. */
const bareString: Field<string> = { encode: (value) => Buffer.from(value), decode: cString.decode };

/** linux/if_link.h: IFLA_VXLAN_*, the data of the kind `vxlan`. */
const vxlan = {
  id: [1, u32],
  local: [4, address],
  local6: [17, address],
  learning: [7, u8],
  port: [15, be16],
  groupPolicy: [23, flag],
} as const;

/** linux/if_link.h: struct ifinfomsg and IFLA_*. */
const tunnelMessage = message(
  { family: u8, pad: u8, type: u16, index: u32, flags: u32, change: u32 },
  {
    mac: [1, mac],
    mtu: [4, u32],
    name: [3, cString],
    group: [27, u32],
    info: [18, nested({ kind: [1, bareString], data: [2, raw] })],
    /** IFLA_AF_SPEC, of AF_INET6: IFLA_INET6_ADDR_GEN_MODE. */
    families: [26, nested({ inet6: [10, nested({ addressMode: [8, u8] })] })],
  },
);

const IFF_UP = 1;
/** linux/if_link.h, IN6_ADDR_GEN_MODE_NONE. */
const noAddress = 1;

/** Our tunnel device of a name; `undefined` when there is none, or one of somebody else. Throws KernelError. */
// ip -d link show dev egress0
export async function readTunnel(socket: NetlinkSocket, name: string): Promise<TunnelLink | undefined> {
  return (await readDevice(socket, name))?.tunnel;
}

/**
 * Makes the tunnel device, or changes it as it should be. MTU, MAC address and state are changed while it runs. For all
 * else it is made anew, without its addresses, neighbours, forwarding entries, routes and kernel parameters. Throws
 * `tunnel-device` when somebody else has a device of that name, and KernelError.
 */
// ip link add egress0 address 02:e6:ac:12:00:05 mtu 1450 group 230 type vxlan id 14597 dstport 4788 local 172.18.0.5 \
//   nolearning gbp
// ip link set egress0 addrgenmode none; ip link set egress0 up
export async function setTunnel(socket: NetlinkSocket, tunnel: TunnelLink): Promise<void> {
  const device = await readDevice(socket, tunnel.name);
  if (device !== undefined && device.tunnel === undefined) {
    throw new EgressError(
      'tunnel-device',
      `Expected to find no interface ${tunnel.name}, or our own: VXLAN in the group ${deviceGroup}; found another`,
    );
  }
  const observed = device?.tunnel;
  if (observed === undefined || !isSameTunnel(observed, tunnel)) {
    await deleteTunnel(socket, tunnel.name);
    await socket.request({ type: RTM_NEWLINK, flags: flags.create | flags.excl, body: encodeTunnel(tunnel) });
  } else if (observed.mtu === tunnel.mtu && observed.mac === tunnel.mac && observed.up === tunnel.up) return;
  await change(socket, tunnel);
}

/** Deletes our tunnel device of a name; that it is gone already, or somebody else's, is no error. Throws KernelError. */
// ip link del egress0
export async function deleteTunnel(socket: NetlinkSocket, name: string): Promise<void> {
  const device = await readDevice(socket, name);
  if (device?.tunnel === undefined) return;
  const body = tunnelMessage.encode({ index: device.index });
  await unlessRefused(socket.request({ type: RTM_DELLINK, flags: 0, body }), 'ENODEV');
}

async function change(socket: NetlinkSocket, tunnel: TunnelLink): Promise<void> {
  const request = (body: Buffer) => socket.request({ type: RTM_NEWLINK, flags: 0, body });
  await request(encodeTunnelChange(tunnel));
  // A device without IPv6 (ipv6.disable=1, or an MTU below 1280) has no addresses to make, nor this setting.
  await unlessRefused(request(encodeNoAddress(tunnel.name)), 'EAFNOSUPPORT');
  await request(encodeTunnelUp(tunnel));
}

interface Device {
  readonly index: number;
  /** Absent: a device of somebody else. */
  readonly tunnel?: TunnelLink;
}

async function readDevice(socket: NetlinkSocket, name: string): Promise<Device | undefined> {
  const exchange = socket.request({ type: RTM_GETLINK, flags: 0, body: encodeLinkQuery(name) });
  const [reply] = (await unlessRefused(exchange, 'ENODEV')) ?? [];
  if (reply === undefined) return undefined;
  const { index } = tunnelMessage.decode(reply.body).header;
  const tunnel = decodeTunnel(reply.body);
  return { index, ...(tunnel && { tunnel }) };
}

/** The body of the message that makes the device. It comes into being down. */
export function encodeTunnel({ name, vni, port, local, mac, mtu, groupPolicy, learning }: TunnelLink): Buffer {
  const data = encode(vxlan, {
    id: vni,
    ...(familyOf(local) === 4 ? { local } : { local6: local }),
    learning: learning ? 1 : 0,
    port,
    ...(groupPolicy && { groupPolicy: true as const }),
  });
  return tunnelMessage.encode({}, { mac, mtu, name, group: deviceGroup, info: { kind: 'vxlan', data } });
}

/**
 * The body of the message that changes MTU, MAC address and state of a running device. It must not repeat any data of
 * VXLAN: Linux 6.18 then forgets that group policy uses bits of the header, and drops every packet that comes with
 * them.
 */
const encodeTunnelChange = ({ name, mac, mtu }: TunnelLink): Buffer => tunnelMessage.encode({}, { mac, mtu, name });

/** The body of the message that lets a device make no IPv6 address: with none it never sends by itself. */
export const encodeNoAddress = (name: string): Buffer =>
  tunnelMessage.encode({}, { name, families: { inet6: { addressMode: noAddress } } });

/** The body of the message that takes the device up or down: of all flags, change IFF_UP alone. */
export const encodeTunnelUp = ({ name, up }: TunnelLink): Buffer =>
  tunnelMessage.encode({ flags: up ? IFF_UP : 0, change: IFF_UP }, { name });

/** The tunnel that an answer holds; `undefined` when it is not VXLAN, or does not say that it is ours. */
export function decodeTunnel(body: Buffer): TunnelLink | undefined {
  const { header, attributes } = tunnelMessage.decode(body);
  const { name = '', group, info, mac = '', mtu = 0 } = attributes;
  if (group !== deviceGroup || info?.kind !== 'vxlan') return undefined;
  const {
    id: vni = 0,
    port = 0,
    local,
    local6,
    learning = 0,
    groupPolicy = false,
  } = decode(vxlan, info.data ?? Buffer.alloc(0));
  const up = (header.flags & IFF_UP) !== 0;
  const underlay = local ?? local6 ?? '';
  return { kind: 'tunnel', name, vni, port, local: underlay, mac, mtu, groupPolicy, learning: learning !== 0, up };
}

const listTunnel = async (socket: NetlinkSocket): Promise<readonly TunnelLink[]> =>
  [(await readTunnel(socket, tunnelDevice)) ?? []].flat();

/** The one device that we make. */
export const tunnelKind: KernelKind<TunnelLink> = {
  setUp: setTunnel,
  takeDown: (socket, { name }) => deleteTunnel(socket, name),
  observe: async ({ socket, needs }) => (needs.tunnel ? await listTunnel(socket) : []),
  list: async ({ socket }) => ({ ours: await listTunnel(socket) }),
};
