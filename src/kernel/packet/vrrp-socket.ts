import { type Address, addressBytes, type Family } from '../../base/address.ts';
import type { Advertisement, BadReason, HeardAdvertisement } from '../../election/advertisement.ts';
import { ipProtocols } from './ip.ts';
import { int, ListeningSocket, type SocketOption, type SocketSettings } from './listening.ts';
import type { ReadableSockets } from './readable.ts';
import { internetAddress } from './socket.ts';
import { decodeAdvertisement, encodeAdvertisement, packetOf4, vrrpGroups, vrrpHops } from './vrrp.ts';

/** Where a router speaks. */
export interface VrrpPlace {
  readonly family: Family;
  readonly device: { readonly name: string; readonly index: number };
  /** The node's own primary address there; of IPv6 the link-local one. */
  readonly source: Address;
}

/** Takes what routers say, and packets of the protocol that say nothing, with the sender. */
export type HeardVrrp = (heard: HeardAdvertisement | BadReason, source: Address) => void;

const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
const SO_PRIORITY = 12;
/** linux/pkt_sched.h, TC_PRIO_CONTROL: before the data of a busy interface. */
const control = 7;
const IPPROTO_IP = 0;
/** linux/in.h: IP_*. */
const ip = {
  tos: 1,
  multicastIf: 32,
  multicastTtl: 33,
  multicastLoop: 34,
  addMembership: 35,
  multicastAll: 49,
} as const;
const IPPROTO_IPV6 = 41;
/** linux/in6.h: IPV6_*. */
const ipv6 = {
  multicastIf: 17,
  multicastHops: 18,
  multicastLoop: 19,
  addMembership: 20,
  recvHopLimit: 51,
  tclass: 67,
} as const;
/** RFC 2474: class selector 6, network control. */
const networkControl = 0xc0;

/** A socket for advertisements on one interface: protocol 112, in the routers' group. */
export class VrrpSocket implements Disposable {
  readonly #place: VrrpPlace;
  readonly #socket: ListeningSocket;

  /** Throws an Error with `code`: `EPERM`, `ENODEV`, `EADDRNOTAVAIL` where the interface has lost the source. */
  constructor(sockets: ReadableSockets, place: VrrpPlace, heard: HeardVrrp) {
    this.#place = place;
    this.#socket =
      place.family === 4
        ? new ListeningSocket(sockets, settings4(place), ({ bytes }) => {
            const packet = packetOf4(bytes);
            if (packet !== undefined) heard(decodeAdvertisement(packet), packet.source);
          })
        : new ListeningSocket(sockets, settings6(place), ({ bytes: message, source, hops }) =>
            heard(decodeAdvertisement({ source, destination: vrrpGroups[6], hops, message }), source),
          );
  }

  /** The kernel's refusal as its name; `undefined` when it was sent. */
  send(advertisement: Advertisement): string | undefined {
    const { family, source, device } = this.#place;
    return this.#socket.send(encodeAdvertisement(advertisement, source), groupAddress(family, device.index));
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

const both: readonly SocketOption[] = [[SOL_SOCKET, SO_PRIORITY, control]];

function settings4({ device, source }: VrrpPlace): SocketSettings {
  // struct ip_mreqn: group, own address, interface
  const member = Buffer.concat([addressBytes(vrrpGroups[4]), addressBytes(source), int(device.index)]);
  return {
    ...{ domain: AF_INET, protocol: ipProtocols.vrrp, device: device.name },
    options: [
      ...both,
      [IPPROTO_IP, ip.addMembership, member],
      [IPPROTO_IP, ip.multicastIf, member],
      [IPPROTO_IP, ip.multicastTtl, vrrpHops],
      [IPPROTO_IP, ip.multicastLoop, 0],
      [IPPROTO_IP, ip.multicastAll, 0],
      [IPPROTO_IP, ip.tos, networkControl],
    ],
  };
}

function settings6({ device, source }: VrrpPlace): SocketSettings {
  // struct ipv6_mreq: group, interface
  const member = Buffer.concat([addressBytes(vrrpGroups[6]), int(device.index)]);
  return {
    ...{ domain: AF_INET6, protocol: ipProtocols.vrrp, device: device.name },
    options: [
      ...both,
      [IPPROTO_IPV6, ipv6.addMembership, member],
      [IPPROTO_IPV6, ipv6.multicastIf, device.index],
      [IPPROTO_IPV6, ipv6.multicastHops, vrrpHops],
      [IPPROTO_IPV6, ipv6.multicastLoop, 0],
      [IPPROTO_IPV6, ipv6.recvHopLimit, 1],
      [IPPROTO_IPV6, ipv6.tclass, networkControl],
    ],
    address: internetAddress(addressBytes(source), { index: device.index }), // the kernel would choose among several, and the checksum counts it
  };
}

const groupAddress = (family: Family, index: number): Buffer =>
  internetAddress(addressBytes(vrrpGroups[family]), { index });
