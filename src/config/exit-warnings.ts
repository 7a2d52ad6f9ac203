import { type Address, contains, parsePrefix } from '../base/address.ts';
import type { Exit } from '../policy/exit.ts';
import { coverAll } from '../policy/prefixes.ts';
import type { Configuration } from './configuration.ts';
import type { Problem } from './problem.ts';
import type { PolicyDocument } from './schema.ts';

type Found = Omit<Problem, 'source'>;

/** Legal settings of exits that hardly work. Settings that surely do not work are errors. */
export function exitWarnings(document: PolicyDocument, configuration: Configuration): Found[] {
  return [
    ...configuration.exits.flatMap((exit, i) => ofExit(document, configuration, exit, `/exits/${i}`)),
    ...sharedAddresses(configuration.exits),
    ...unlistedGateways(configuration),
    ...everywhereWithoutCluster(document, configuration),
  ];
}

function ofExit(document: PolicyDocument, { nodes }: Configuration, exit: Exit, pointer: string): Found[] {
  const cluster = [...(document.clusterCIDRs ?? []), ...nodes.flatMap(({ podCIDRs }) => podCIDRs)];
  const hops = Object.values(exit.nextHops);
  const own = hops.filter((hop) => exit.addresses.includes(hop));
  return [
    ...own.map((hop) => ({
      pointer: `${pointer}/nextHop`,
      message: `next hop ${hop} is an address of the exit itself, where no router can be: give the address of the router`,
    })),
    // A router inside the cluster, a pod say, has its neighbours there.
    ...(hops.some((hop) => cluster.some((each) => contains(each, hop))) ? [] : exit.addresses).flatMap((address, i) => {
      const range = cluster.find((each) => contains(each, address));
      const message = `${address} is inside ranges of the cluster (${range}), which answers to it do not leave again: give an address outside`;
      return range === undefined ? [] : [{ pointer: `${pointer}/addresses/${i}`, message }];
    }),
  ];
}

/** An address is where it is once. Two exits with gateways are an error; by one interface both may have it. */
function sharedAddresses(exits: readonly Exit[]): Found[] {
  const users = new Map<Address, Exit[]>();
  return exits.flatMap((exit, place) =>
    exit.addresses.flatMap((address, i) => {
      const earlier = users.get(address) ?? [];
      users.set(address, [...earlier, exit]);
      const other = earlier.find((each) => isElsewhere(each, exit));
      if (other === undefined) return [];
      const message = `${address} is an address of exit "${other.name}", too, whose packets leave elsewhere: answers come back by one way only`;
      return [{ pointer: `/exits/${place}/addresses/${i}`, message }];
    }),
  );
}

const isElsewhere = (one: Exit, other: Exit): boolean =>
  one.gateways.length > 0 || other.gateways.length > 0 || one.interface !== other.interface;

/** Where nodes are listed, a gateway that is not among them was forgotten; it may be in a range of nodes. */
function unlistedGateways({ exits, nodes, tunnel }: Configuration): Found[] {
  const known = new Set(nodes.map(({ address }) => address));
  const gateways = new Set(exits.flatMap((exit) => exit.gateways));
  const others = tunnel.sources.filter((range) => !isOneOf(gateways, range));
  if (nodes.length === 0) return [];
  return exits.flatMap((exit, place) =>
    exit.gateways.flatMap((gateway, i) => {
      if (known.has(gateway) || others.some((range) => contains(range, gateway))) return [];
      const message = `gateway ${gateway} is not in "nodes", where every node is listed with the ranges of its pods, gateways too`;
      return [{ pointer: `/exits/${place}/gateways/${i}`, message }];
    }),
  );
}

const isOneOf = (gateways: ReadonlySet<Address>, range: string): boolean =>
  [...gateways].some((gateway) => parsePrefix(gateway) === range);

/** The plugin knows a pod's own network and its node, and no other pods and services. */
function everywhereWithoutCluster({ clusterCIDRs = [] }: PolicyDocument, { nodes, policies }: Configuration): Found[] {
  const isKnown = clusterCIDRs.length > 0 || nodes.some(({ podCIDRs }) => podCIDRs.length > 0);
  const wide = policies.find(
    ({ exit, destinations, except }) =>
      exit !== 'node' && destinations.some((range) => range.endsWith('/0') && !coverAll(except, [range])),
  );
  if (isKnown || wide === undefined) return [];
  const message = `missing: policy "${wide.name}" is for everywhere, so packets to pods of other nodes and to services are steered, too; list the ranges of the cluster, here or in the chain entry`;
  return [{ pointer: '/clusterCIDRs', message }];
}
