import { type Address, type Family, familyOf } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { DefaultRoute, Host } from '../datapath/host.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { Exit } from '../policy/exit.ts';
import type { MovesRecord } from '../store/record.ts';
import type { OwnEnd } from './own-end.ts';
import {
  isUnavailable,
  type LocalExit,
  resolveExit,
  resolveThroughTunnel,
  resolveUnavailable,
} from './resolve-exit.ts';

/** The gateway that an exit uses: the choice of a move, while it is one of the exit's gateways, else the first. */
export function gatewayOf({ name, gateways }: Exit, moves: MovesRecord['gateways']): Address | undefined {
  const moved = moves[name];
  return moved !== undefined && gateways.includes(moved) ? moved : gateways[0];
}

/** The exit as it is on this node, now: through the tunnel, or out of an interface, which has to be up. */
export const resolveOnNode = (
  host: Host,
  exit: Exit,
  own: OwnEnd | undefined,
  moves: MovesRecord['gateways'],
): Promise<ResolvedExit> => resolveBy(resolveExit, host, exit, own, moves);

/** The same for a pod of this node, which may begin with the node's address where the exit says so. */
export const resolveForPod = (
  host: Host,
  exit: Exit,
  own: OwnEnd | undefined,
  moves: MovesRecord['gateways'],
): Promise<ResolvedExit> =>
  resolveBy(
    (local, facts) => (isUnavailable(local, facts.link) ? resolveUnavailable : resolveExit)(local, facts),
    host,
    exit,
    own,
    moves,
  );

async function resolveBy(
  resolve: typeof resolveExit,
  host: Host,
  exit: Exit,
  own: OwnEnd | undefined,
  moves: MovesRecord['gateways'],
): Promise<ResolvedExit> {
  const gateway = gatewayOf(exit, moves);
  if (gateway !== undefined && gateway !== own?.address) return resolveThroughTunnel(exit, gateway, tunnelDevice);
  const local = await withInterface(host, exit);
  const link = await host.readLink(local.interface);
  return resolve(local, { ...(link && { link }), addresses: link ? await host.listAddresses(link) : [] });
}

/**
 * An exit without an interface of its own leaves as the gateway's default routes do. It lacks a family without a
 * default route, or with one by another interface.
 */
async function withInterface(host: Host, exit: Exit): Promise<LocalExit> {
  if (exit.interface !== undefined) return { ...exit, interface: exit.interface };
  const routes: [Family, DefaultRoute][] = [];
  for (const family of new Set(exit.addresses.map(familyOf))) {
    const route = await host.defaultRoute(family, routes[0]?.[1].device);
    if (route !== undefined) routes.push([family, route]);
  }
  const device = routes[0]?.[1].device;
  if (device === undefined) {
    throw new EgressError(
      'exit-interface',
      `Exit "${exit.name}" names no interface, and this node has no default route`,
    );
  }
  const usable = routes.filter(([, route]) => route.device.index === device.index);
  return {
    ...exit,
    interface: device.name,
    ...(usable.some(([, { onlink }]) => onlink) && { onlink: true }),
    nextHops: Object.fromEntries(usable.map(([family, { via }]) => [family, via])),
    addresses: exit.addresses.filter((address) => usable.some(([family]) => family === familyOf(address))),
  };
}
