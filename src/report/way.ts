import type { Address } from '../base/address.ts';
import type { Host, RouteTaken } from '../datapath/host.ts';
import type { PortBlock } from '../policy/port-blocks.ts';
import type { Packet } from '../policy/terms.ts';

/** The way that a packet takes. */
export interface WayTaken {
  readonly device: string;
  /** Absent: the destination is a neighbour on the interface. */
  readonly nextHop?: Address;
  /** The state of the next hop in the kernel's words; absent when the kernel has not asked for it of late. */
  readonly neighbour?: string;
  /** Underlay address of the node that the packet leaves from, through the tunnel. */
  readonly gateway?: Address;
  /** Addresses of the exit. The packet has one of them; none when the node, and not egress, gives it one. */
  readonly sources: readonly Address[];
  /** Source ports of the pod's own. The packet has one of them, a ping as its number. */
  readonly ports?: Ports;
}

/** Source ports of a pod's own. */
export type Ports = Pick<PortBlock, 'first' | 'last'>;

/** A route that leads to another machine. */
export type Leading = RouteTaken & { readonly device: string };

/** Whether the packet goes on to another machine. */
export const leadsOn = (route: RouteTaken | undefined): route is Leading =>
  route?.type === 'unicast' && route.device !== undefined;

/** The next hop of a packet, and its state in the kernel. */
export async function hopOf(
  host: Host,
  { device, via }: Leading,
  { destination }: Packet,
): Promise<Omit<WayTaken, 'sources'>> {
  const neighbour = await host.readNeighbour(device, via ?? destination);
  return { device, ...(via && { nextHop: via }), ...(neighbour && { neighbour }) };
}

/** The way as a person is told. */
export function wayWords({ device, nextHop, gateway }: WayTaken): string {
  if (gateway !== undefined) return `${device}, to gateway ${gateway}`;
  return nextHop === undefined ? `${device}, on link` : `${device}, next hop ${nextHop}`;
}

/** The source of a packet that leaves, in words for a person. */
export function sourceWords({ sources, ports }: WayTaken): string {
  if (sources.length > 1) return `one of ${sources.join(', ')}, by its source port`;
  return ports === undefined ? `${sources[0]}` : `${sources[0]} and one of the ports ${ports.first} to ${ports.last}`;
}

/** Notes about a next hop. NUD_FAILED and NUD_INCOMPLETE: it was asked for, and has not answered. */
export const neighbourNotes = ({ nextHop = 'the destination', neighbour = '' }: WayTaken): string[] =>
  ['failed', 'incomplete'].includes(neighbour)
    ? [`Asked for of late, ${nextHop} did not answer (${neighbour}): while it does not, the packet gets no further.`]
    : [];
