import { EgressError, isSystemError } from '../base/errors.ts';
import { nameOf } from '../datapath/describe.ts';
import type { OutsideObject } from '../datapath/objects.ts';
import type { IndexOf } from './kind.ts';
import { kernelKindOf } from './kinds.ts';
import { isKernelError, type NetlinkSocket } from './netlink/socket.ts';
import { readLink } from './rtnetlink/link.ts';

/**
 * Sets objects outside of nftables up, one by one in the order given. Throws `kernel-refused` that names the object,
 * `exit-next-hop` for a route whose next hop is not behind its interface, and `tunnel-device` when somebody else has a
 * device of the tunnel's name.
 */
export async function applyOutside(socket: NetlinkSocket, objects: readonly OutsideObject[]): Promise<void> {
  const indexOf = indexes(socket);
  for (const object of objects)
    await naming('Setting up', object, () => kernelKindOf(object).setUp(socket, object, indexOf));
}

/** The same for objects of which none waits for another: all are tried before the first refusal is thrown. */
export async function applyEach(socket: NetlinkSocket, objects: readonly OutsideObject[]): Promise<void> {
  const indexOf = indexes(socket);
  const tries = objects.map((object) =>
    naming('Setting up', object, () => kernelKindOf(object).setUp(socket, object, indexOf)),
  );
  for (const outcome of await Promise.allSettled(tries)) if (outcome.status === 'rejected') throw outcome.reason;
}

/**
 * Takes objects outside of nftables down, one by one in the order given; a kernel parameter gets the object's value.
 * Objects of a device that is gone went with it: that is no error.
 */
export async function removeOutside(socket: NetlinkSocket, objects: readonly OutsideObject[]): Promise<void> {
  const indexOf = indexes(socket);
  for (const object of objects)
    await naming('Taking down', object, () => kernelKindOf(object).takeDown(socket, object, indexOf));
}

/** Asks once for each interface. One that is not there is asked for again: an object before may be the interface. */
function indexes(socket: NetlinkSocket): IndexOf {
  const known = new Map<string, number>();
  return async (device) => {
    const index = known.get(device) ?? (await readLink(socket, device))?.index;
    if (index !== undefined) known.set(device, index);
    return index;
  };
}

async function naming(doing: string, object: OutsideObject, action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isKernelError(error) && !isSystemError(error)) throw error;
    throw new EgressError('kernel-refused', `${doing} ${nameOf(object)}: ${error.message}`, {
      cause: error,
    });
  }
}
