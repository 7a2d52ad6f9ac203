import {
  type Address,
  addressBytes,
  contains,
  familyOf,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../base/address.ts';
import { type Documents, isLacking, type Placed, placed, placeOf, problem, type Source } from './placed.ts';
import type { Problem } from './problem.ts';
import type { PartialDocument } from './sound.ts';

type Node = NonNullable<PartialDocument['nodes']>[number];
type Exit = NonNullable<PartialDocument['exits']>[number];

/**
 * Contradictions that keep the tunnel to gateways from working, though each part of the configuration is valid by
 * itself.
 */
export function tunnelContradictions(documents: Documents, sources: readonly Source[]): Problem[] {
  const exits = placed(documents, 'exits', ({ exits }) => exits);
  const gateways = placed(exits, 'gateways', ({ gateways }) => gateways);
  return [
    ...mixedFamilies(gateways),
    ...(isLacking(sources, senders) ? [] : unknownSenders(documents, gateways)),
    ...replyContradictions(documents, gateways, isLacking(sources, rangesOfNodes)),
    ...addressContradictions(documents, exits),
  ];
}

/** JSON pointers of senders to the tunnel, and of the ranges of nodes. */
const senders = /^\/nodes(\/\d+\/address)?$|^\/tunnel(\/allowedSources)?$/;
const rangesOfNodes = /^\/nodes(\/\d+\/(address|podCIDRs))?$/;

function mixedFamilies([first, ...others]: readonly Placed<Address>[]): Problem[] {
  if (first === undefined) return [];
  const strangers = others.filter(({ value }) => familyOf(value) !== familyOf(first.value));
  const message = (gateway: Address) =>
    `gateway ${gateway} is not of the family of ${first.value} at ${placeOf(first)}: ` +
    'the tunnel has one family, so list the IPv4 or the IPv6 addresses of all gateways';
  return strangers.map((gateway) => problem(gateway, '', message(gateway.value)));
}

/** A tunnel port that is open to everybody lets everybody send with the egress addresses. */
function unknownSenders(documents: Documents, [gateway]: readonly Placed<Address>[]): Problem[] {
  if (gateway === undefined) return [];
  const family = familyOf(gateway.value);
  const known = documents.flatMap(({ value: { nodes = [], tunnel } }) => [
    ...nodes.flatMap(({ address }) => address ?? []),
    ...(tunnel?.allowedSources ?? []),
  ]);
  if (known.some((sender) => familyOf(sender) === family)) return [];
  const message =
    'VXLAN authenticates nobody, so a gateway takes packets from known nodes only: ' +
    `list the IPv${family} addresses of all nodes in "nodes", or their ranges in "tunnel.allowedSources"`;
  return [problem(gateway, '', message)];
}

/** `replyPath: tunnel` finds the node of a pod by nodes of the tunnel's family with ranges of their own. */
function replyContradictions(
  documents: Documents,
  [gateway]: readonly Placed<Address>[],
  isPartial: boolean,
): Problem[] {
  const replyPath = documents.find(({ value }) => value.tunnel?.replyPath !== undefined);
  if (replyPath?.value.tunnel?.replyPath !== 'tunnel') return [];
  const nodes = placed(documents, 'nodes', ({ nodes }) => nodes);
  const isEnd = ({ value: { address } }: Placed<Node>) =>
    address !== undefined && (!gateway || familyOf(address) === familyOf(gateway.value));
  const ranges = nodes.filter(isEnd).flatMap(podRanges);
  if (ranges.length > 0 || isPartial) return overlaps(ranges);
  const kind = gateway ? `node with an IPv${familyOf(gateway.value)} address` : 'node';
  const message = `"tunnel" needs to know the nodes of pods, but no ${kind} has "podCIDRs": list them, or set "direct"`;
  return [problem(replyPath, '/tunnel/replyPath', message)];
}

/** Egress addresses that would be on two nodes: of two exits, since each moves by itself, or of a node. */
function addressContradictions(documents: Documents, exits: readonly Placed<Exit>[]): Problem[] {
  const nodes = new Set(placed(documents, 'nodes', ({ nodes }) => nodes).map(({ value }) => value.address));
  const first = new Map<Address, Placed<Address>>();
  const shared = exits.filter(({ value }) => value.gateways !== undefined);
  return shared.flatMap((exit) =>
    placed([exit], 'addresses', ({ addresses }) => addresses).flatMap((address) => {
      const earlier = first.get(address.value);
      first.set(address.value, earlier ?? address);
      if (earlier) return [problem(address, '', `${address.value} is already at ${placeOf(earlier)}: ${onOneGateway}`)];
      const isOwn = exit.value.gateways?.every((gateway) => gateway === address.value);
      return nodes.has(address.value) && !isOwn ? [problem(address, '', `${address.value} ${ofNode}`)] : [];
    }),
  );
}

const onOneGateway = 'an address is on one gateway at a time, so each exit with gateways needs addresses of its own';
const ofNode = 'is the address of a node, and cannot be on any other gateway: take one that no node has';

interface PodRange extends Placed<Prefix> {
  readonly node: Address;
}

const podRanges = (node: Placed<Node>): PodRange[] =>
  placed([node], 'podCIDRs', ({ podCIDRs }) => podCIDRs).map((range) => ({ ...range, node: node.value.address ?? '' }));

/** Ranges of one node inside those of another. */
function overlaps(ranges: readonly PodRange[]): Problem[] {
  const sorted = ranges
    .map((range) => ({ range, key: sortKey(range.value) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  let outer: PodRange | undefined;
  return sorted.flatMap(({ range }) => {
    // An outer range sorts before all that it holds, so looking at the last one that is in no other is enough.
    if (outer === undefined || !contains(outer.value, range.value)) outer = range;
    return outer.node === range.node ? [] : [problem(range, '', overlap(range, outer))];
  });
}

const overlap = (inner: PodRange, outer: PodRange): string =>
  `${inner.value} of node ${inner.node} overlaps ${outer.value} of node ${outer.node} at ${placeOf(outer)}: ` +
  'with replyPath "tunnel", each range must belong to one node';

function sortKey(range: Prefix): string {
  const address = Buffer.from(addressBytes(prefixAddress(range))).toString('hex');
  return `${familyOf(range)} ${address} ${String(prefixLength(range)).padStart(3, '0')}`;
}
