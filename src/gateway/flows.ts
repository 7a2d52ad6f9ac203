import { type Address, familyOf } from '../base/address.ts';
import type { ResolvedExit } from '../datapath/exit.ts';
import type { Flow, Introduction } from '../datapath/host.ts';
import { addressOf } from '../datapath/slots.ts';
import { tunnelMac } from '../datapath/tunnel.ts';
import { deciderOf, matchOf, ownAddresses } from '../node/flows.ts';
import type { Machine } from '../node/machine.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';

/**
 * Lets connections go on when an exit has moved. Conntrack keeps the source address that a connection began with: where
 * that is not right any more, it must forget the connection. It picks it up at the next packet of the pod
 * (nf_conntrack_tcp_loose), with the address that is right now. Such a packet is sent here at once for each connection,
 * in place of the pod. An answer that comes earlier would find nobody, and a pod that only listens would never send.
 */
export async function followFlows(machine: Machine, previous: NodeRecord | undefined, next: NodeRecord): Promise<void> {
  const { host } = machine;
  const moved = next.exits.flatMap((exit): MovedExit[] => {
    const before = previous?.exits.find(({ id }) => id === exit.id);
    if (before === undefined || before.gateway === exit.gateway) return [];
    return [{ exit, introduction: introductionOf(next, before, exit) }];
  });
  if (moved.length > 0) await followExits(machine, next, moved);
  for (const address of addressesThatLeft(previous, next)) await host.deleteFlowsTo(address);
}

/**
 * Forgets what conntrack knows of egress addresses that are about to come to this node: they were elsewhere meanwhile. As soon
 * as an address is here connections may be made known again, and these must stay.
 */
export async function forgetBefore({ host }: Machine, { gateway }: NodeRecord): Promise<void> {
  // One that is elected about may come at any moment. What was known of it was forgotten when it went.
  const coming = (gateway?.owned ?? []).filter(({ elected }) => !elected);
  for (const [device, owned] of Map.groupBy(coming, ({ device }) => device)) {
    const link = await host.readLink(device);
    const here = new Set((link ? await host.listAddresses(link) : []).map(({ address }) => address));
    for (const { address } of owned) if (!here.has(address)) await host.deleteFlowsTo(address);
  }
}

/** Egress addresses that this node gave up. */
function addressesThatLeft(previous: NodeRecord | undefined, next: NodeRecord): ReadonlySet<Address> {
  const addressesOf = (node: NodeRecord | undefined) =>
    (node?.exits ?? [])
      .filter(({ gateway }) => gateway === undefined)
      .flatMap(({ ways }) => ways.flatMap(({ addresses }) => addresses));
  const left = new Set(addressesOf(next));
  return new Set(addressesOf(previous).filter((address) => !left.has(address)));
}

/**
 * How this node makes connections of its pods known. From one gateway to another they go past the node's own conntrack,
 * which does not change and would call them invalid. A packet that ends at the first router behind the gateway does no
 * harm.
 */
function introductionOf({ fwmark, tunnel }: NodeRecord, before: ResolvedExit, exit: ResolvedExit): Introduction {
  if (exit.gateway === undefined) return { mark: (fwmark | exit.id) >>> 0, hops: 1 };
  if (before.gateway === undefined || tunnel === undefined) return { mark: (fwmark | exit.id) >>> 0, hops: 2 };
  const ends = { sourceMac: tunnelMac(tunnel.local), destinationMac: tunnelMac(exit.gateway) };
  return { mark: exit.id, hops: 2, ends };
}

/** Makes connections of this node's pods by some exits known to the gateways that these lead to. */
export async function introduceTo(machine: Machine, exits: ReadonlySet<string>): Promise<void> {
  const node = machine.store.loadNode();
  if (node === undefined) return;
  const used = node.exits.flatMap((exit): MovedExit[] =>
    exits.has(exit.name) && exit.gateway !== undefined
      ? [{ exit, introduction: introductionOf(node, exit, exit) }]
      : [],
  );
  const { records, established } = await flowsBy(machine, used);
  const own = await ownAddresses(machine);
  for (const record of records) {
    const decider = deciderOf(machine, node, record);
    const exitOf = (flow: Flow) => matchOf(decider, own, flow)?.exit;
    for (const address of record.addresses)
      await prime(machine.host, used, Map.groupBy(established.get(address) ?? [], exitOf));
  }
}

async function prime(
  host: Machine['host'],
  used: readonly MovedExit[],
  byExit: ReadonlyMap<string | undefined, readonly Flow[]>,
): Promise<void> {
  for (const { exit, introduction } of used) {
    const flows = byExit.get(exit.name) ?? [];
    if (flows.length > 0) await host.primeFlows(introduction, flows);
  }
}

/** An exit that has moved, and how connections by it are made known. */
interface MovedExit {
  readonly exit: ResolvedExit;
  readonly introduction: Introduction;
}

/**
 * Pod by pod, so that each forgotten flow is known again a moment later. Flows are listed once for all pods; pods that have none by
 * the exits cost no other listing.
 */
async function followExits(machine: Machine, node: NodeRecord, moved: readonly MovedExit[]): Promise<void> {
  const own = await ownAddresses(machine);
  const { records, begun, established } = await flowsBy(machine, moved);
  for (const record of records) {
    const used = moved.filter(({ exit }) => uses(record.outline, exit.name));
    const decider = deciderOf(machine, node, record);
    const exitOf = (flow: Flow) => matchOf(decider, own, flow)?.exit;
    const names = new Set<string | undefined>(used.map(({ exit }) => exit.name));
    for (const address of record.addresses) {
      if (!begun.get(address)?.some((flow) => names.has(exitOf(flow)))) continue;
      await followAddress(machine.host, { address, established: established.get(address) ?? [] }, used, exitOf);
    }
  }
}

/** The pods of some exits, and by their addresses the connections that they began, and the established ones of these. */
async function flowsBy({ host, store }: Machine, exits: readonly MovedExit[]) {
  const records = store.list().filter(({ outline }) => exits.some(({ exit }) => uses(outline, exit.name)));
  const flows = await host.listFlows(records.flatMap(({ addresses }) => addresses));
  const bySource = (some: readonly Flow[]) => Map.groupBy(some, ({ source }) => source);
  const established = bySource(flows.filter((flow) => flow.established === true));
  return { records, begun: bySource(flows), established };
}

/** The connections of a pod's address. */
interface AddressFlows {
  readonly address: Address;
  readonly established: readonly Flow[];
}

async function followAddress(
  host: Machine['host'],
  { address, established }: AddressFlows,
  used: readonly MovedExit[],
  exitOf: (flow: Flow) => string | undefined,
): Promise<void> {
  const byExit = Map.groupBy(established, exitOf);
  const flowsOf = ({ exit }: MovedExit) => byExit.get(exit.name) ?? [];
  const translated = used.filter(({ introduction }) => introduction.ends === undefined);
  const replaced = new Set<string>();
  for (const one of translated) {
    const flows = flowsOf(one).filter(hasOtherPort);
    await host.restoreFlows(flows, sourceBy(one.exit, address));
    for (const flow of flows) replaced.add(begunBy(flow));
  }
  if (translated.length > 0) {
    const names = new Set<string | undefined>(translated.map(({ exit }) => exit.name));
    const isBy = (flow: Flow) => names.has(exitOf(flow)) && !replaced.has(begunBy(flow));
    await forget(host, address, isBy, translated.flatMap(flowsOf));
  }
  await prime(host, used, byExit);
}

/** Tells a connection of TCP from all others of a node, by who began it. */
const begunBy = ({ protocol, source, sourcePort, destination, destinationPort }: Flow): string =>
  [protocol, source, sourcePort, destination, destinationPort].join(' ');

/** The pod's rules would choose a port anew, and the far end knows the connection by the one that it has. */
const hasOtherPort = ({ sourcePort, replyDestinationPort }: Flow): boolean =>
  replyDestinationPort !== undefined && sourcePort !== replyDestinationPort;

/** The address that conntrack gives a pod's packets by the exit here. */
function sourceBy({ gateway, ways }: ResolvedExit, pod: Address): Address {
  const way = ways.find(({ family }) => family === familyOf(pod));
  return gateway !== undefined || way === undefined ? pod : addressOf(way.addresses, pod);
}

const uses = (outline: AttachmentRecord['outline'], name: string): boolean => outline.some(({ exit }) => exit === name);

/**
 * Deletes a pod's flows by the exit. Where conntrack saw an answer first, it takes the other end for the one who began.
 * The pod's packets would be replies of that flow, and leave untranslated.
 */
async function forget(
  host: Machine['host'],
  address: Address,
  isBy: (flow: Flow) => boolean,
  flows: readonly Flow[],
): Promise<void> {
  const reversed = new Set(
    flows.map((flow) => ends(flow.replySource, flow.replySourcePort, flow.source, flow.sourcePort)),
  );
  await host.deleteFlows(
    address,
    (flow) => isBy(flow) || reversed.has(ends(flow.source, flow.sourcePort, flow.replySource, flow.replySourcePort)),
  );
}

const ends = (...parts: readonly (Address | number | undefined)[]): string => parts.join(' ');
