import type { Address } from '../../base/address.ts';
import type { Flow, TunnelEnds } from '../../datapath/host.ts';
import { ethernetFrame, etherTypes } from './ethernet.ts';
import { type IpHeader, ipPacket, ipProtocols, transportChecksum } from './ip.ts';

/** The TCP connection that a primer stands for, in the direction of its first packet. */
export interface Primer {
  readonly source: Address;
  /** Of the same family as the source. */
  readonly destination: Address;
  /** 0…65535. */
  readonly sourcePort: number;
  /** 0…65535. */
  readonly destinationPort: number;
  /** TTL or hop limit, 1…255. */
  readonly hops: number;
}

/** A primer for each connection of TCP, to where its pod sends: the node's destination NAT is still to come. */
export const primerPackets = (hops: number, flows: readonly Flow[]): Buffer[] =>
  flows.flatMap(({ protocol, source, destination, sourcePort, destinationPort }) => {
    if (protocol !== ipProtocols.tcp || sourcePort === undefined || destinationPort === undefined) return [];
    return [primer({ source, destination, sourcePort, destinationPort, hops })];
  });

/** A frame with a primer for each connection of TCP, as it enters the tunnel: behind the node's NAT. */
export const primerFrames = (ends: TunnelEnds, hops: number, flows: readonly Flow[]): Buffer[] =>
  primerPackets(hops, flows.map(behindNat)).map((packet) => inFrame(ends, packet));

/** The address stays as it is: the gateway gives another. */
const behindNat = (flow: Flow): Flow => ({
  ...flow,
  destination: flow.replySource,
  ...(flow.replySourcePort !== undefined && { destinationPort: flow.replySourcePort }),
  ...(flow.replyDestinationPort !== undefined && { sourcePort: flow.replyDestinationPort }),
});

function inFrame({ sourceMac, destinationMac }: TunnelEnds, packet: Buffer): Buffer {
  const etherType = packet.readUInt8(0) >> 4 === 4 ? etherTypes.ipv4 : etherTypes.ipv6;
  return ethernetFrame(destinationMac, sourceMac, etherType, packet);
}

const TCP_ACK = 0x10;

/**
 * An IP packet with an empty TCP segment. By it a conntrack that did not see the connection begin picks it up
 * (nf_conntrack_tcp_loose), with the address translation of its rules. Sequence and acknowledgement numbers are 0.
 * Conntrack does not check the window of such a flow (IP_CT_TCP_FLAG_BE_LIBERAL). An endpoint that gets the segment
 * after all answers with an acknowledgement, since it is out of its window, and goes on.
 */
export function primer({ sourcePort, destinationPort, ...ip }: Primer): Buffer {
  const header = { ...ip, protocol: ipProtocols.tcp };
  return ipPacket(header, tcpSegment(header, sourcePort, destinationPort));
}

/** Not 0: conntrack forgets a flow with a last window of 0 after 300 s without a packet, not after the usual days. */
const anyWindow = 0xffff;

/** linux/tcp.h, struct tcphdr: no options, no data. */
function tcpSegment(header: IpHeader, sourcePort: number, destinationPort: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(destinationPort, 2);
  bytes.writeUInt8(0x50, 12); // five words
  bytes.writeUInt8(TCP_ACK, 13);
  bytes.writeUInt16BE(anyWindow, 14);
  bytes.writeUInt16BE(transportChecksum(header, bytes), 16);
  return bytes;
}
