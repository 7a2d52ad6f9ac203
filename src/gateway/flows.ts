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

/** So many pods at a time: each listing takes time that grows with the kernel's table, and each forgotten flow is known again a moment later. */
const podsAtOnce = 32;

/** Established flows are listed once for all pods. */
async function followExits(machine: Machine, node: NodeRecord, moved: readonly MovedExit[]): Promise<void> {
  const own = await ownAddresses(machine);
  const { records, established } = await flowsBy(machine, moved);
  const all = records.flatMap((record) => {
    const used = moved.filter(({ exit }) => uses(record.outline, exit.name));
    const decider = deciderOf(machine, node, record);
    const exitOf = (flow: Flow) => matchOf(decider, own, flow)?.exit;
    const { addresses } = record;
    return [
      { used, exitOf, flows: addresses.map((address) => ({ address, established: established.get(address) ?? [] })) },
    ];
  });
  for (let at = 0; at < all.length; at += podsAtOnce) await followPods(machine.host, all.slice(at, at + podsAtOnce));
}

/** The pods of some exits, and their established connections by their addresses. */
async function flowsBy({ host, store }: Machine, exits: readonly MovedExit[]) {
  const records = store.list().filter(({ outline }) => exits.some(({ exit }) => uses(outline, exit.name)));
  const flows = await host.listFlows(records.flatMap(({ addresses }) => addresses));
  const established = Map.groupBy(
    flows.filter((flow) => flow.established === true),
    ({ source }) => source,
  );
  return { records, established };
}

/** The connections of a pod's address. */
interface AddressFlows {
  readonly address: Address;
  readonly established: readonly Flow[];
}

/** A pod of exits that have moved. */
interface MovedPod {
  readonly used: readonly MovedExit[];
  readonly exitOf: (flow: Flow) => string | undefined;
  readonly flows: readonly AddressFlows[];
}

async function followPods(host: Machine['host'], pods: readonly MovedPod[]): Promise<void> {
  await forget(host, pods);
  for (const { used, exitOf, flows } of pods)
    for (const { address, established } of flows) {
      const byExit = Map.groupBy(established, exitOf);
      for (const { exit } of used.filter(isTranslated)) {
        const own = (byExit.get(exit.name) ?? []).filter(hasOtherPort);
        await host.restoreFlows(own, sourceBy(exit, address));
      }
      await prime(host, used, byExit);
    }
}

/** Whether conntrack keeps an address of the connections that is not right any more. */
const isTranslated = ({ introduction }: MovedExit): boolean => introduction.ends === undefined;

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
 * Deletes the pods' flows by the exits, by one listing for each family. Where conntrack saw an answer first, it takes the other
 * end for the one who began. The pod's packets would be replies of that flow, and leave untranslated.
 */
async function forget(host: Machine['host'], pods: readonly MovedPod[]): Promise<void> {
  const isGone = new Map<Address, (flow: Flow) => boolean>();
  for (const pod of pods.filter(({ used }) => used.some(isTranslated)))
    for (const flows of pod.flows) isGone.set(flows.address, goneOf(pod, flows));
  const isGoneFor = (flow: Flow) => (address: Address) => isGone.get(address)?.(flow) === true;
  const isAny = (flow: Flow) => [flow.source, flow.replySource].some(isGoneFor(flow));
  if (isGone.size > 0) await host.deleteFlowsOfAny([...isGone.keys()], isAny);
}

/** Which flows of a pod's address go. */
function goneOf({ used, exitOf }: MovedPod, { established }: AddressFlows): (flow: Flow) => boolean {
  const names = new Set<string | undefined>(used.filter(isTranslated).map(({ exit }) => exit.name));
  const reversed = new Set(
    established
      .filter((flow) => names.has(exitOf(flow)))
      .map((flow) => ends(flow.replySource, flow.replySourcePort, flow.source, flow.sourcePort)),
  );
  return (flow) =>
    names.has(exitOf(flow)) || reversed.has(ends(flow.source, flow.sourcePort, flow.replySource, flow.replySourcePort));
}

const ends = (...parts: readonly (Address | number | undefined)[]): string => parts.join(' ');
