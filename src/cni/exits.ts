import { type Address, contains, type Family, familyOf } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { DefaultRoute, Host } from '../datapath/host.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';
import type { Exit } from '../policy/exit.ts';
import { type LocalExit, resolveExit, resolveThroughTunnel } from '../policy/resolve-exit.ts';
import type { MovesRecord } from '../store/record.ts';

/** This node's end of the tunnel. */
export interface OwnEnd {
  /** One of the node's addresses, which other nodes know it by. */
  readonly address: Address;
  /** MTU of the interface that holds it, in bytes. */
  readonly underlayMtu: number;
}

/** What all gateways have: one family. Undefined without gateway exits. */
const underlayFamily = ({ exits }: Configuration): Family | undefined => {
  const gateway = exits.flatMap(({ gateways }) => gateways)[0];
  return gateway === undefined ? undefined : familyOf(gateway);
};

/**
 * Finds this node's end of the tunnel: `node` of the chain entry, else the address that the list of nodes or gateways
 * has of this node, else the address of the interface with the default route. Throws `node-address` when it is not on
 * this node, or when gateways would take the node for a stranger. Undefined when nothing is configured that needs it.
 */
export async function findOwnEnd(host: Host, configuration: Configuration): Promise<OwnEnd | undefined> {
  const family = underlayFamily(configuration);
  if (family === undefined) return undefined;
  const held = await host.listAllAddresses();
  const address =
    configuration.node ?? knownAddress(configuration, family, held) ?? (await mainAddress(host, family, held));
  const holder = held.find((candidate) => candidate.address === address);
  if (address === undefined || holder === undefined) {
    throw new EgressError(
      'node-address',
      address === undefined
        ? `This node has no IPv${family} address on the interface of its default route`
        : `${address} is no address of this node`,
    );
  }
  requireKnown(configuration, address);
  return { address, underlayMtu: (await host.readLink(holder.deviceIndex))?.mtu ?? 0 };
}

type Held = Awaited<ReturnType<Host['listAllAddresses']>>;

function knownAddress({ nodes, exits }: Configuration, family: Family, held: Held): Address | undefined {
  const known = [...nodes.map(({ address }) => address), ...exits.flatMap(({ gateways }) => gateways)];
  return known.find((address) => familyOf(address) === family && held.some((own) => own.address === address));
}

async function mainAddress(host: Host, family: Family, held: Held): Promise<Address | undefined> {
  const index = (await host.defaultRoute(family))?.device.index;
  return held.find((own) => own.deviceIndex === index && own.family === family && own.scope === 0 && own.usable)
    ?.address;
}

function requireKnown({ tunnel }: Configuration, address: Address): void {
  if (tunnel.sources.some((range) => contains(range, address))) return;
  throw new EgressError(
    'node-address',
    `Gateways take packets from known nodes only, and this node's address ${address} is in neither nodes nor tunnel.allowedSources`,
  );
}

/** The gateway that an exit uses: the one that it was moved to while that is one of its gateways, else the first. */
export function gatewayOf({ name, gateways }: Exit, moves: MovesRecord['gateways']): Address | undefined {
  const moved = moves[name];
  return moved !== undefined && gateways.includes(moved) ? moved : gateways[0];
}

/** The exit as it is on this node, now: through the tunnel, or out of an interface. */
export async function resolveOnNode(
  host: Host,
  exit: Exit,
  own: OwnEnd | undefined,
  moves: MovesRecord['gateways'],
): Promise<ResolvedExit> {
  const gateway = gatewayOf(exit, moves);
  if (gateway !== undefined && gateway !== own?.address) return resolveThroughTunnel(exit, gateway, tunnelDevice);
  const local = await withInterface(host, exit);
  const link = await host.readLink(local.interface);
  return resolveExit(local, { ...(link && { link }), addresses: link ? await host.listAddresses(link) : [] });
}

/**
 * Without an interface of its own the exit leaves as the gateway's default routes do; a family whose default route is
 * another interface's, or missing, it does not have.
 */
async function withInterface(host: Host, exit: Exit): Promise<LocalExit> {
  if (exit.interface !== undefined) return { ...exit, interface: exit.interface };
  const routes: [Family, DefaultRoute][] = [];
  for (const family of new Set(exit.addresses.map(familyOf))) {
    const route = await host.defaultRoute(family);
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
    nextHops: Object.fromEntries(usable.map(([family, { via }]) => [family, via])),
    addresses: exit.addresses.filter((address) => usable.some(([family]) => family === familyOf(address))),
  };
}
