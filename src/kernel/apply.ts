import { EgressError } from '../base/errors.ts';
import { nameOf } from '../datapath/describe.ts';
import type { Behind, Forwarding, InterfaceAddress, Neighbour, OutsideObject, Route } from '../datapath/objects.ts';
import { isKernelError, type NetlinkSocket } from './netlink/socket.ts';
import { addAddress, deleteAddress } from './rtnetlink/address.ts';
import { deleteForwarding, setForwarding } from './rtnetlink/forwarding.ts';
import { readLink } from './rtnetlink/link.ts';
import { putBehind, putForward } from './rtnetlink/local-route.ts';
import { deleteNeighbour, setNeighbour } from './rtnetlink/neighbour.ts';
import { deleteRoute, replaceRoute } from './rtnetlink/route.ts';
import { addRule, deleteRule } from './rtnetlink/rule.ts';
import { deleteTunnel, setTunnel } from './rtnetlink/tunnel.ts';
import { writeSysctl } from './sysctl.ts';

type OnDevice = Behind | InterfaceAddress | Neighbour | Forwarding;

/**
 * Sets up what is not in nftables, one by one in the order given. Throws `kernel-refused` that names the object, and
 * `tunnel-device` when somebody else has a device of the tunnel's name.
 */
export async function applyOutside(socket: NetlinkSocket, objects: readonly OutsideObject[]): Promise<void> {
  for (const object of objects) await naming('Setting up', object, () => setUp(socket, object));
}

/**
 * Takes down what is not in nftables, one by one in the order given; a kernel parameter gets the value that the object
 * has. What hung on a device that is gone went with it, which is no error.
 */
export async function removeOutside(socket: NetlinkSocket, objects: readonly OutsideObject[]): Promise<void> {
  for (const object of objects) await naming('Taking down', object, () => takeDown(socket, object));
}

async function setUp(socket: NetlinkSocket, object: OutsideObject): Promise<void> {
  if (object.kind === 'sysctl') writeSysctl(object.name, object.value);
  else if (object.kind === 'rule') await addRule(socket, object);
  else if (object.kind === 'tunnel') await setTunnel(socket, object);
  else if (object.kind === 'route') await replaceRoute(socket, object, await indexOf(socket, object));
  else await setUpOn(socket, object, await indexOf(socket, object));
}

async function setUpOn(socket: NetlinkSocket, object: OnDevice, index: number | undefined): Promise<void> {
  const { kind, device } = object;
  if (index === undefined) {
    throw new EgressError('kernel-refused', `Setting up ${nameOf(object)}: there is no interface ${device}`);
  }
  if (kind === 'address') await addAddress(socket, object, index);
  else if (kind === 'behind') await putBehind(socket, object.address, index);
  else if (kind === 'neighbour') await setNeighbour(socket, object, index);
  else await setForwarding(socket, object, index);
}

async function takeDown(socket: NetlinkSocket, object: OutsideObject): Promise<void> {
  if (object.kind === 'sysctl') writeSysctl(object.name, object.value);
  else if (object.kind === 'rule') await deleteRule(socket, object);
  else if (object.kind === 'tunnel') await deleteTunnel(socket, object.name);
  else if (object.kind === 'route' && object.device === undefined) await deleteRoute(socket, object);
  else await takeDownFrom(socket, object, await indexOf(socket, object));
}

async function takeDownFrom(socket: NetlinkSocket, object: OnDevice | Route, index: number | undefined): Promise<void> {
  if (index === undefined) return;
  if (object.kind === 'address') await deleteAddress(socket, object, index);
  else if (object.kind === 'behind') await putForward(socket, object.address, index);
  else if (object.kind === 'neighbour') await deleteNeighbour(socket, object, index);
  else if (object.kind === 'forwarding') await deleteForwarding(socket, object, index);
  else await deleteRoute(socket, object, index);
}

async function indexOf(socket: NetlinkSocket, { device }: OnDevice | Route): Promise<number | undefined> {
  return device === undefined ? undefined : (await readLink(socket, device))?.index;
}

/** How IPv4 and IPv6 refuse a next hop that they do not reach by the interface alone. */
const unknownHop = ['ENETUNREACH', 'EHOSTUNREACH'];

async function naming(doing: string, object: OutsideObject, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isKernelError(error) && !(error instanceof Error && 'syscall' in error)) throw error;
    if (object.kind === 'route' && object.via !== undefined && isKernelError(error, ...unknownHop)) {
      throw new EgressError('exit-next-hop', `${object.via} is in no network of ${object.device}`, { cause: error });
    }
    throw new EgressError('kernel-refused', `${doing} ${nameOf(object)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
