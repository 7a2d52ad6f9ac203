import { type Address, familyOf } from '../../base/address.ts';
import type { Behind } from '../../datapath/objects.ts';
import { type KernelKind, noneListed } from '../kind.ts';
import { flags, type NetlinkSocket } from '../netlink/socket.ts';
import { addressFamily } from './family.ts';
import { onDevice } from './on-device.ts';
import { unlessRefused } from './refusal.ts';
import { routeMessage } from './route.ts';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
/** linux/rtnetlink.h, RTM_F_FIB_MATCH: the answer is the route itself, not its result for a packet. */
const RTM_F_FIB_MATCH = 0x2000;
/** linux/rtnetlink.h: RT_TABLE_LOCAL, RTN_LOCAL, RT_SCOPE_HOST, RTPROT_KERNEL. */
const localTable = 255;
const localType = 2;
const hostScope = 254;
const kernelProtocol = 2;
/** Behind the 0 of the kernel's own routes. It is our number, so that people know who did it. */
const behindMetric = 230;

/** Where the kernel finds an address of the node. */
export interface Holder {
  readonly deviceIndex: number;
  /** We put its route behind those of other interfaces. */
  readonly behind: boolean;
}

/**
 * The interface that the kernel says an address of IPv4 is on: of several the one that was first to have it. `undefined`
 * when the node does not have the address. Throws KernelError.
 */
// ip route get fibmatch 192.168.0.245
export async function firstHolder(socket: NetlinkSocket, address: Address): Promise<Holder | undefined> {
  const body = encodeHolderQuery(address);
  const replies = await unlessRefused(
    socket.request({ type: RTM_GETROUTE, flags: 0, body }),
    'ENETUNREACH',
    'EHOSTUNREACH',
    'EACCES',
    'EINVAL',
  );
  return replies?.[0] && decodeHolder(replies[0].body);
}

/** The body of the question for the route of an address. */
const encodeHolderQuery = (address: Address): Buffer =>
  routeMessage.encode(
    { family: addressFamily(familyOf(address)), destinationLength: 32, flags: RTM_F_FIB_MATCH },
    { destination: address },
  );

/** The holder that an answer names; `undefined` when it is a way to another host. */
function decodeHolder(body: Buffer): Holder | undefined {
  const { header, attributes } = routeMessage.decode(body);
  const { outputIndex, priority = 0 } = attributes;
  if (header.type !== localType || outputIndex === undefined) return undefined;
  return { deviceIndex: outputIndex, behind: priority === behindMetric };
}

/**
 * Makes the kernel find an address of IPv4 on this interface only when no other has it. The address stays the node's at
 * every moment, and the route goes with it as the kernel's own would. Throws KernelError.
 */
// ip route add local 192.168.0.245 dev kube-ipvs0 table local proto kernel scope host src 192.168.0.245 metric 230
// ip route del local 192.168.0.245 dev kube-ipvs0 table local metric 0
export async function putBehind(socket: NetlinkSocket, address: Address, deviceIndex: number): Promise<void> {
  await add(socket, address, deviceIndex, behindMetric);
  await remove(socket, address, deviceIndex, 0);
}

/** The reverse of {@link putBehind}; that the interface has the address no more is no error. Throws KernelError. */
export async function putForward(socket: NetlinkSocket, address: Address, deviceIndex: number): Promise<void> {
  const isNew = await add(socket, address, deviceIndex, 0);
  const wasBehind = await remove(socket, address, deviceIndex, behindMetric);
  if (isNew && !wasBehind) await remove(socket, address, deviceIndex, 0); // the address is gone, and its route with it
}

/** Whether it was not there. */
async function add(socket: NetlinkSocket, address: Address, deviceIndex: number, metric: number): Promise<boolean> {
  const body = encodeLocalRoute(address, deviceIndex, metric);
  const request = socket.request({ type: RTM_NEWROUTE, flags: flags.create | flags.append, body });
  return (await unlessRefused(request, 'EEXIST')) !== undefined;
}

/** Whether it was there. */
async function remove(socket: NetlinkSocket, address: Address, deviceIndex: number, metric: number): Promise<boolean> {
  const request = socket.request({
    type: RTM_DELROUTE,
    flags: 0,
    body: encodeLocalRoute(address, deviceIndex, metric),
  });
  return (await unlessRefused(request, 'ESRCH')) !== undefined;
}

/** The body of a message about the route that makes an address the node's. */
const encodeLocalRoute = (address: Address, deviceIndex: number, metric: number): Buffer =>
  routeMessage.encode(
    {
      family: addressFamily(familyOf(address)),
      destinationLength: 32,
      protocol: kernelProtocol,
      scope: hostScope,
      type: localType,
    },
    { destination: address, source: address, priority: metric, table: localTable, outputIndex: deviceIndex },
  );

/**
 * Addresses found on the wrong interface are asked for one by one (`node/set-up.ts`). The record knows the earlier
 * ones.
 */
export const behindKind: KernelKind<Behind> = {
  ...onDevice(
    (socket, { address }, deviceIndex) => putBehind(socket, address, deviceIndex),
    (socket, { address }, deviceIndex) => putForward(socket, address, deviceIndex),
  ),
  observe: async () => [],
  list: noneListed,
};
