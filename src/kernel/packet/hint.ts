import { closeSync } from 'node:fs';
import { type Address, addressBytes, familyOf } from '../../base/address.ts';
import type { Mac } from '../../datapath/objects.ts';
import { tunnelMac } from '../../datapath/tunnel.ts';
import type { HintTargets } from '../../election/plan.ts';
import { bindSocket, openSocket } from '../netlink/libc.ts';
import { arpFrame, arpOperations } from './arp.ts';
import { etherTypes } from './ethernet.ts';
import { ListeningSocket } from './listening.ts';
import { claimOfArp } from './question.ts';
import type { ReadableSockets } from './readable.ts';
import { internetAddress, linkLayerAddress, sendUnlessRefused } from './socket.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** RFC 7600, 4.8: an address that is nobody's. Who a hint is from, its MAC address says. */
const nobodys: Address = '192.0.0.8';

/**
 * Hints to nodes that addresses move: for each a gratuitous ARP reply in the tunnel, from this node's MAC address there. Inside the
 * tunnel nobody else speaks ARP. It goes as a datagram of VXLAN from this node's address, since a gateway has forwarding entries
 * for other nodes only where answers take the tunnel. What cannot be sent is lost.
 */
export function sendHints({ own, vni, port, nodes }: HintTargets): void {
  const domain = familyOf(own) === 4 ? AF_INET : AF_INET6;
  const address = (end: Address, port: number) => internetAddress(addressBytes(end), { port });
  try {
    const fd = openSocket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    try {
      bindSocket(fd, address(own, 0));
      for (const node of nodes) sendUnlessRefused(fd, hintDatagram(own, node, vni), address(node, port));
    } finally {
      closeSync(fd);
    }
  } catch {
    // The node has lost its address: nobody would listen to it.
  }
}

/** RFC 7348, 5: the flag that says that the identifier counts, the identifier, and the frame. */
export function hintDatagram(own: Address, node: Address, vni: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(0x08, 0);
  header.writeUInt32BE(vni * 256, 4);
  const station = { mac: tunnelMac(own), address: nobodys };
  return Buffer.concat([header, arpFrame(arpOperations.reply, station, station, tunnelMac(node))]);
}

/** Hears hints out of the tunnel's device, and tells whose MAC address in the tunnel each has. Throws an Error with `code`. */
export function listenForHints(sockets: ReadableSockets, tunnelIndex: number, heard: (from: Mac) => void): Disposable {
  const address = linkLayerAddress(tunnelIndex, etherTypes.arp);
  return new ListeningSocket(sockets, { domain: AF_PACKET, protocol: 0, address }, ({ bytes }) => {
    const claim = claimOfArp(bytes);
    if (claim !== undefined) heard(claim.mac);
  });
}
