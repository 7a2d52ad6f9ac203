import { type Address, familyOf } from '../../base/address.ts';
import { announcement } from './announcement.ts';
import { etherTypes } from './ethernet.ts';
import { ListeningSocket, type SocketSettings } from './listening.ts';
import { type Claim, claimOfArp, claimOfNeighbour, question, type Station } from './question.ts';
import type { ReadableSockets } from './readable.ts';
import { linkLayerAddress } from './socket.ts';

const AF_INET6 = 10;
const AF_PACKET = 17;
const IPPROTO_ICMPV6 = 58;
const SOL_ICMPV6 = 58;
const ICMPV6_FILTER = 1;
const IPPROTO_IPV6 = 41;
const IPV6_RECVHOPLIMIT = 51;
const ND_NEIGHBOR_ADVERT = 136;

/** This node's station on the segment of an interface. */
export interface NeighbourPlace extends Station {
  readonly device: { readonly name: string; readonly index: number };
}

/** Asks the stations of a segment who has an address, hears who says so, and announces that it is here. */
export class NeighbourSocket implements Disposable {
  readonly #place: NeighbourPlace;
  readonly #frames: ListeningSocket;
  readonly #answers: ListeningSocket;

  /** Throws an Error with `code`. */
  constructor(sockets: ReadableSockets, place: NeighbourPlace, heard: (claim: Claim) => void) {
    this.#place = place;
    const { name, index } = place.device;
    const tell = (claim: Claim | undefined) => claim !== undefined && claim.mac !== place.mac && heard(claim);
    this.#frames = new ListeningSocket(sockets, arp(index), ({ bytes }) => tell(claimOfArp(bytes)));
    try {
      const answered = (bytes: Buffer, hops: number) => tell(claimOfNeighbour(bytes, hops));
      this.#answers = new ListeningSocket(sockets, advertisements(name), ({ bytes, hops }) => answered(bytes, hops));
    } catch (error) {
      this.#frames[Symbol.dispose]();
      throw error;
    }
  }

  /** Asks who has an address; one of IPv6 only where the station's source is of it. What cannot be sent is lost. */
  ask(address: Address): void {
    this.#send(address, question(this.#place, address));
  }

  /** Announces that an address is here. What cannot be sent is lost. */
  announce(address: Address): void {
    for (const frame of announcement(this.#place.mac, address)) this.#send(address, frame);
  }

  #send(address: Address, frame: Buffer): void {
    const etherType = familyOf(address) === 4 ? etherTypes.arp : etherTypes.ipv6;
    this.#frames.send(frame, linkLayerAddress(this.#place.device.index, etherType));
  }

  [Symbol.dispose](): void {
    this.#frames[Symbol.dispose]();
    this.#answers[Symbol.dispose]();
  }
}

/** All ARP of the interface. It sends frames of IPv6 as well. */
const arp = (index: number): SocketSettings => ({
  ...{ domain: AF_PACKET, protocol: 0 },
  address: linkLayerAddress(index, etherTypes.arp),
});

/** linux/icmpv6.h, struct icmp6_filter: a bit for each type that is not heard. */
function advertisements(device: string): SocketSettings {
  const filter = Buffer.alloc(32, 0xff);
  const byte = ND_NEIGHBOR_ADVERT >> 3;
  filter.writeUInt8(0xff & ~(1 << (ND_NEIGHBOR_ADVERT & 7)), byte);
  return {
    ...{ domain: AF_INET6, protocol: IPPROTO_ICMPV6, device },
    options: [
      [SOL_ICMPV6, ICMPV6_FILTER, filter],
      [IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1],
    ],
  };
}
