import { contains } from '../base/address.ts';
import { protocolOf } from '../base/port-range.ts';
import type { Flow } from '../datapath/host.ts';
import { matchFor } from '../policy/match-for.ts';
import type { Packet } from '../policy/terms.ts';
import type { AttachmentRecord, NodeRecord } from '../store/record.ts';
import type { Machine } from './machine.ts';

/** A packet of the flow as the pod's program sees it: after DNAT. */
export function packetOf({ family, protocol: number, replySource: destination, replySourcePort: port }: Flow): Packet {
  const protocol = protocolOf(number, family);
  return { destination, ...(protocol && { protocol }), ...(port !== undefined && { port }) };
}

/**
 * Forgets the connections that an attachment began with other ports than it has now, by the exits that give it ports:
 * the old ports may be another pod's. So are pings: nobody tells their numbers.
 */
export async function forgetOutsidePorts(
  { host, store }: Machine,
  { clusterCIDRs = [] }: NodeRecord,
  { addresses, program, subnets, ports = [] }: AttachmentRecord,
): Promise<void> {
  const { matches = [], cluster = clusterCIDRs } = store.loadProgram(program) ?? {};
  const isOutside = (flow: Flow): boolean => {
    const packet = packetOf(flow);
    const block = ports.find(({ exit }) => exit === matchFor(matches, packet)?.exit);
    if (block === undefined || [...cluster, ...subnets].some((range) => contains(range, packet.destination)))
      return false;
    const { replyDestinationPort: port = 0 } = flow;
    return port < block.first || block.last < port;
  };
  for (const address of ports.length > 0 ? addresses : []) {
    await host.deleteFlows(address, (flow) => flow.source === address && isOutside(flow));
  }
}
