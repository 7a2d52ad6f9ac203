import { EgressError } from '../base/errors.ts';
import { nameOf } from '../datapath/describe.ts';
import type { PolicyRule, Route, Sysctl } from '../datapath/objects.ts';
import { isKernelError, type NetlinkSocket } from './netlink/socket.ts';
import { readLink } from './rtnetlink/link.ts';
import { deleteRoute, replaceRoute } from './rtnetlink/route.ts';
import { addRule, deleteRule } from './rtnetlink/rule.ts';
import { writeSysctl } from './sysctl.ts';

type Outside = Sysctl | Route | PolicyRule;

/** Sets up what is not in nftables, one by one. Throws `kernel-refused` that names the object. */
export async function applyOutside(socket: NetlinkSocket, objects: readonly Outside[]): Promise<void> {
  for (const object of objects) {
    await naming('Setting up', object, async () => {
      if (object.kind === 'sysctl') writeSysctl(object.name, object.value);
      else if (object.kind === 'rule') await addRule(socket, object);
      else await replaceRoute(socket, object, await indexOf(socket, object));
    });
  }
}

/** Takes down what is not in nftables; a kernel parameter gets the value that the object has. */
export async function removeOutside(socket: NetlinkSocket, objects: readonly Outside[]): Promise<void> {
  for (const object of objects) {
    await naming('Taking down', object, async () => {
      if (object.kind === 'sysctl') writeSysctl(object.name, object.value);
      else if (object.kind === 'rule') await deleteRule(socket, object);
      else await deleteRoute(socket, object, await indexOf(socket, object));
    });
  }
}

async function indexOf(socket: NetlinkSocket, { device }: Route): Promise<number | undefined> {
  return device === undefined ? undefined : (await readLink(socket, device))?.index;
}

async function naming(doing: string, object: Outside, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isKernelError(error) && !(error instanceof Error && 'syscall' in error)) throw error;
    throw new EgressError('kernel-refused', `${doing} ${nameOf(object)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
