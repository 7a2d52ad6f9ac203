import { closeSync } from 'node:fs';
import type { Address } from '../../base/address.ts';
import type { Link, Mac } from '../../datapath/objects.ts';
import { openSocket } from '../netlink/libc.ts';
import type { EtherType } from '../packet/ethernet.ts';
import { sendFrames } from '../packet/socket.ts';
import { bindTo, limitWait, receive } from './libc.ts';
import { answerType, claimIn, isFrom, questionFor } from './question.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** Milliseconds for the answers, and how often is asked in them: a first question may get lost. */
const patience = 600;
const rounds = 2;

/** The MAC addresses of others that say they have one of the addresses, by the address. */
export function whoHas(link: Link & { readonly mac: Mac }, addresses: readonly Address[]): Map<Address, Mac[]> {
  const claims = new Map<Address, Set<Mac>>(addresses.map((address) => [address, new Set()]));
  const types = [...new Set(addresses.map(answerType))];
  const sockets = types.map((type) => listenTo(link.index, type));
  try {
    for (let round = 0; round < rounds; round++) {
      sendFrames(
        link.index,
        addresses.map((address) => questionFor(link.mac, address)),
      );
      collect(sockets, link.mac, claims);
    }
  } finally {
    sockets.forEach(closeSync);
  }
  return new Map([...claims].map(([address, macs]) => [address, [...macs].sort()]));
}

/** A packet socket for frames of one type that come in by an interface. */
function listenTo(deviceIndex: number, type: EtherType): number {
  const fd = openSocket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  const address = Buffer.alloc(20); // linux/if_packet.h: struct sockaddr_ll
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(type, 2);
  address.writeInt32LE(deviceIndex, 4);
  bindTo(fd, address);
  return fd;
}

/** Takes what comes until nothing has come for a while. Each socket has its share of the time. */
function collect(sockets: readonly number[], own: Mac, claims: ReadonlyMap<Address, Set<Mac>>): void {
  const share = patience / rounds / sockets.length;
  for (const fd of sockets) {
    const end = performance.now() + share;
    for (let left = share; left > 0; left = end - performance.now()) {
      limitWait(fd, Math.max(1, Math.ceil(left)));
      const frame = receive(fd);
      const claim = frame === undefined || isFrom(frame, own) ? undefined : claimIn(frame);
      if (claim) claims.get(claim.address)?.add(claim.mac);
    }
  }
}
