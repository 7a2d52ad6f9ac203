import type { Address } from '../base/address.ts';
import { protocolOf } from '../base/port-range.ts';
import type { SteeredAttachment } from '../datapath/attachment.ts';
import type { Flow } from '../datapath/host.ts';
import { decide } from '../policy/decision.ts';
import type { Match } from '../policy/match.ts';
import type { Packet } from '../policy/terms.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';

/** A packet of the flow as the pod's program sees it: after DNAT. */
function packetOf({ family, protocol: number, replySource: destination, replySourcePort: port }: Flow): Packet {
  const protocol = protocolOf(number, family);
  return { destination, ...(protocol && { protocol }), ...(port !== undefined && { port }) };
}

/** What decides about connections of a pod: its program with all its ranges, and the pod's own networks. */
export type Decider = Required<Pick<SteeredAttachment, 'matches' | 'cluster' | 'subnets'>>;

/** By the records. An attachment from before programs had ranges of the cluster goes by those of the node. */
export function deciderOf(
  { store }: Pick<Machine, 'store'>,
  { clusterCIDRs = [] }: Pick<NodeRecord, 'clusterCIDRs'>,
  { program, subnets }: AttachmentRecord,
): Decider {
  const { matches = [], cluster = clusterCIDRs } = store.loadProgram(program) ?? {};
  return { matches, cluster, subnets };
}

/**
 * The match that decides about what the pod sends on a connection; `undefined` when none does.
 *
 * @param own the node's addresses: no program is asked about packets to them
 */
export function matchOf(
  { matches, cluster, subnets }: Decider,
  own: ReadonlySet<Address>,
  flow: Flow,
): Match | undefined {
  const packet = packetOf(flow);
  if (own.has(packet.destination)) return undefined;
  const decision = decide({ matches, subnets }, cluster, packet);
  return decision.by === 'match' ? decision.match : undefined;
}

/** For so many addresses each is asked about alone: that is the cheapest for a pod, and a listing for each of many takes long. */
const fewAddresses = 4;

/**
 * Forgets connections of pods' addresses, whoever began them; `only` chooses among them. Of many addresses by one listing of each
 * family: conntrack may have a hundred thousand connections, and a node hundreds of pods.
 */
export async function forgetFlowsOf(
  { host }: Pick<Machine, 'host'>,
  addresses: readonly Address[],
  only?: (flow: Flow) => boolean,
): Promise<void> {
  const own = new Set(addresses);
  if (own.size > fewAddresses) await host.deleteFlowsOfAny([...own], only ?? (() => true));
  else for (const address of own) await host.deleteFlows(address, only);
}

/** All addresses of the node. */
export const ownAddresses = async ({ host }: Pick<Machine, 'host'>): Promise<ReadonlySet<Address>> =>
  new Set((await host.listAllAddresses()).map(({ address }) => address));

/**
 * Forgets the connections that an attachment began with other ports than it has now, by the exits that give it ports:
 * the old ports may be another pod's. So are pings: nobody tells their numbers.
 */
export async function forgetOutsidePorts(machine: Machine, node: NodeRecord, record: AttachmentRecord): Promise<void> {
  const { addresses, ports = [] } = record;
  if (ports.length === 0) return;
  const [decider, own] = [deciderOf(machine, node, record), await ownAddresses(machine)];
  const isOutside = (flow: Flow): boolean => {
    const exit = matchOf(decider, own, flow)?.exit;
    const block = ports.find((each) => each.exit === exit);
    const { replyDestinationPort: port = 0 } = flow;
    return block !== undefined && (port < block.first || block.last < port);
  };
  for (const address of addresses) {
    await machine.host.deleteFlows(address, (flow) => flow.source === address && isOutside(flow));
  }
}
