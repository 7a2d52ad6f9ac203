import { type Address, contains, type Family, familyOf } from '../base/address.ts';
import { EgressError } from '../base/errors.ts';
import type { Configuration } from '../config/configuration.ts';
import type { HeldAddress, Host } from '../datapath/host.ts';
import type { Link } from '../datapath/objects.ts';
import { tunnelDevice } from '../datapath/tunnel.ts';

/** This node's end of the tunnel. */
export interface OwnEnd {
  /** An address of the node that other nodes know it by. */
  readonly address: Address;
  /** MTU of the interface that packets to the other nodes leave by, in bytes. */
  readonly underlayMtu: number;
}

/** What all gateways have: one family. Undefined without gateway exits. */
const underlayFamily = ({ exits }: Configuration): Family | undefined => {
  const gateway = exits.flatMap(({ gateways }) => gateways)[0];
  return gateway === undefined ? undefined : familyOf(gateway);
};

/**
 * Finds this node's end of the tunnel: `node` of the chain entry, else the address that the list of nodes or gateways
 * has of this node, else the address of the interface with the default route. Addresses on our own device and on
 * kube-ipvs0 are not the node's own. Addresses on loopback and dummies come last. Throws `node-address` when it is not
 * on this node, or when gateways would take the node for a stranger. Undefined when nothing is configured that needs
 * it.
 */
export async function findOwnEnd(host: Host, configuration: Configuration): Promise<OwnEnd | undefined> {
  const family = underlayFamily(configuration);
  if (family === undefined) return undefined;
  const main = (await host.defaultRoute(family))?.device;
  const onMain = main ? await host.listAddresses(main) : [];
  const own =
    (await namedAmong(host, configuration, family, onMain)).find(({ holders }) => holders.some(isWay)) ??
    (await choose(host, configuration, family, main));
  requireKnown(configuration, own.address);
  return { address: own.address, underlayMtu: await underlayMtu(host, configuration, own) };
}

/** An address, and the interfaces that hold it, the best first; at least one. */
interface Candidate {
  readonly address: Address;
  readonly holders: readonly Link[];
}

/**
 * There may be thousands of other interfaces: they are asked only when the one with the default route has none of those
 * addresses.
 */
async function choose(
  host: Host,
  configuration: Configuration,
  family: Family,
  main: Link | undefined,
): Promise<Candidate> {
  const { node } = configuration;
  const held = await host.listAllAddresses();
  const named = await namedAmong(host, configuration, family, held);
  const found = named.find(({ holders }) => holders.some(isWay)) ?? named[0];
  if (found !== undefined) return found;
  if (node !== undefined) throw new EgressError('node-address', `${node} is no address of this node`);
  const own = mainCandidate(family, main, held);
  if (own !== undefined) return own;
  throw new EgressError('node-address', `This node has no IPv${family} address on the interface of its default route`);
}

/** The configuration's address of this node, or its addresses of nodes, in the order of preference. */
const namedAmong = (
  host: Host,
  { node, nodes, exits }: Configuration,
  family: Family,
  held: readonly HeldAddress[],
): Promise<Candidate[]> => {
  const known = [...nodes.map(({ address }) => address), ...exits.flatMap(({ gateways }) => gateways)];
  const ofFamily = known.filter((address) => familyOf(address) === family);
  return candidatesAmong(host, held, node === undefined ? ofFamily : [node]);
};

/** The addresses that the node has, on interfaces that count. Asks only for interfaces that hold one. */
async function candidatesAmong(
  host: Host,
  held: readonly HeldAddress[],
  addresses: readonly Address[],
): Promise<Candidate[]> {
  const byAddress = Map.groupBy(
    held.filter(({ ours }) => !ours),
    ({ address }) => address,
  );
  const candidates: Candidate[] = [];
  for (const address of new Set(addresses)) {
    const indexes = new Set((byAddress.get(address) ?? []).map(({ deviceIndex }) => deviceIndex));
    const holders: Link[] = [];
    for (const index of indexes) {
      const link = await host.readLink(index);
      if (link !== undefined && mayHold(link)) holders.push(link);
    }
    if (holders.length > 0) candidates.push({ address, holders });
  }
  return candidates;
}

function mainCandidate(family: Family, main: Link | undefined, held: readonly HeldAddress[]): Candidate | undefined {
  const own = held.find(
    (own) => own.deviceIndex === main?.index && own.family === family && own.scope === 0 && own.usable && !own.ours,
  );
  return own && main && { address: own.address, holders: [main] };
}

/**
 * Our own device has the node's address, and its MTU is made from the result of this search. kube-proxy's device has
 * the addresses of all Services on every node. External ones among them may be a node's.
 */
const mayHold = ({ name }: Link): boolean => name !== tunnelDevice && name !== 'kube-ipvs0';

/** Whether packets of the node come and go by the interface. Others only keep addresses, often of somebody else. */
const isWay = ({ name, type }: Link): boolean => name !== 'lo' && type !== 'dummy';

/**
 * Of several interfaces with the address the smallest one's MTU fits all. An address that only loopback or a dummy has
 * says nothing of the way to the others.
 */
async function underlayMtu(host: Host, configuration: Configuration, { address, holders }: Candidate): Promise<number> {
  const ways = holders.filter(isWay);
  const links = ways.length > 0 ? ways : await linksToGateways(host, configuration, address);
  return Math.min(...(links.length > 0 ? links : holders).map(({ mtu }) => mtu));
}

async function linksToGateways(host: Host, { exits }: Configuration, own: Address): Promise<readonly Link[]> {
  const links: Link[] = [];
  for (const gateway of new Set(exits.flatMap(({ gateways }) => gateways))) {
    const device = gateway === own ? undefined : (await host.routeTo(gateway))?.device;
    const link = device === undefined ? undefined : await host.readLink(device);
    if (link !== undefined) links.push(link);
  }
  return links.length > 0 ? links : [(await host.defaultRoute(familyOf(own)))?.device ?? []].flat();
}

function requireKnown({ tunnel }: Configuration, address: Address): void {
  if (tunnel.sources.some((range) => contains(range, address))) return;
  throw new EgressError(
    'node-address',
    `Gateways take packets from known nodes only, and this node's address ${address} is in neither nodes nor tunnel.allowedSources`,
  );
}
